"""The Transformer of 2017: an encoder and a decoder, sinusoidal positions, a norm after each residual.

Vaswani et al. 2017 (1706.03762). Checkpoints come in Marian's layout, the one of the OPUS-MT translation models
(Junczys-Dowmunt et al. 2018, 1804.00344): one vocabulary shared by both sides and the head, and a bias on the logits.
"""

from typing import Any

from clearhead.config import ModelConfig
from clearhead.families.activations import ACTIVATIONS, HF_NAMES
from clearhead.families.ctranslate2_names import CTRANSLATE2
from clearhead.families.family import Family, Format, Tensors
from clearhead.families.fields import Fields
from clearhead.families.keys import Copy, Flat, KeyTable, Row

STACKS = "encoder", "decoder"


def from_hf(fields: Fields, tensors: Tensors) -> ModelConfig:
    """Read transformers' MarianConfig."""
    fields.expect("normalize_before", False)
    fields.expect("normalize_embedding", False)
    fields.expect("share_encoder_decoder_embeddings", True)
    d_model, d_ff = fields.size("d_model"), fields.integer("encoder_ffn_dim")
    n_heads = fields.integer("encoder_attention_heads")
    fields.expect("decoder_ffn_dim", d_ff)
    fields.expect("decoder_attention_heads", n_heads)
    fields.expect("decoder_vocab_size", None, fields.integer("vocab_size"))
    return ModelConfig(
        family="transformer",
        vocab_size=fields.integer("vocab_size"),
        d_model=d_model,
        d_ff=d_ff,
        n_heads=n_heads,
        n_kv_heads=n_heads,
        head_dim=fields.share("d_model", d_model, "encoder_attention_heads", n_heads),
        n_encoder_layers=fields.integer("encoder_layers"),
        n_decoder_layers=fields.integer("decoder_layers"),
        max_positions=fields.integer("max_position_embeddings", default=512),
        norm_placement="post",
        position="sinusoidal",
        activation=fields.choice("activation_function", of=ACTIVATIONS, default="gelu"),
        embedding_scale=d_model**0.5 if fields.flag("scale_embedding", default=False) else 1.0,
        head_bias=True,
        tied=fields.flag("tie_word_embeddings", default=True),
    )


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """Write transformers' MarianConfig."""
    return {
        "model_type": "marian",
        "architectures": ["MarianMTModel"],
        "vocab_size": config.vocab_size,
        "d_model": config.d_model,
        **{f"{stack}_ffn_dim": config.d_ff for stack in STACKS},
        **{f"{stack}_attention_heads": config.n_heads for stack in STACKS},
        "encoder_layers": config.n_encoder_layers,
        "decoder_layers": config.n_decoder_layers,
        "max_position_embeddings": config.max_positions,
        "activation_function": HF_NAMES[config.activation],
        "scale_embedding": config.embedding_scale != 1.0,
        "tie_word_embeddings": config.tied,
    }


def keys(config: ModelConfig) -> KeyTable:
    """Transformers' module paths."""
    return {
        "model.shared": "embed.tokens",
        # Where the head is not the embedding, transformers ties no table to another and reads each stack's own.
        **{f"model.{stack}.embed_tokens": Copy("embed.tokens", written=not config.tied) for stack in STACKS},
        **{path: ours for stack in STACKS for path, ours in stack_keys(stack).items()},
        "final_logits_bias": Row(("head.projection.bias",), Flat()),
        "lm_head.weight": Copy("embed.tokens.weight") if config.tied else "head.projection.weight",
    }


def stack_keys(stack: str) -> KeyTable:
    """The rows of one stack."""
    hf, ours = f"model.{stack}.layers.{{}}", f"{stack}.layers.{{}}"
    table: dict[str, str | Row | Copy] = {
        f"{hf}.self_attn_layer_norm": f"{ours}.attention_norm",
        f"{hf}.encoder_attn_layer_norm": f"{ours}.cross_attention_norm",
        f"{hf}.fc1": f"{ours}.mlp.up",
        f"{hf}.fc2": f"{ours}.mlp.down",
        f"{hf}.final_layer_norm": f"{ours}.mlp_norm",
    }
    for theirs, mine in (("self_attn", "attention"), ("encoder_attn", "cross_attention")):
        for short, part in (("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value"), ("out_proj", "output")):
            table[f"{hf}.{theirs}.{short}"] = f"{ours}.{mine}.{part}"
    return table


HF = Format(
    types=("marian",),
    config=from_hf,
    keys=keys,
    # The sinusoidal table is a formula; some files store its values.
    ignored=(r"model\.(encoder|decoder)\.embed_positions\.weight",),
)

FAMILY = Family(
    name="transformer",
    paper="Vaswani et al. 2017, Attention Is All You Need (1706.03762)",
    formats={"hf": HF, "ctranslate2": CTRANSLATE2},
    to_hf=to_hf,
)
