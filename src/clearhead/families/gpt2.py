"""GPT-2: the decoder alone, with norms moved in front of each sublayer.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners". Positions are learned, weights are stored
transposed ("Conv1D"), and query, key and value are one matrix.
"""

from typing import Any

from clearhead.config import ModelConfig
from clearhead.families.activations import ACTIVATIONS, HF_NAMES
from clearhead.families.family import Family, Format, Tensors
from clearhead.families.fields import Fields
from clearhead.families.gguf_names import decoder, fused, sizes
from clearhead.families.keys import KeyTable, Row, Transposed, head, qkv


def from_hf(fields: Fields, tensors: Tensors) -> ModelConfig:
    """Read transformers' GPT2Config."""
    fields.expect("scale_attn_weights", True)
    fields.expect("scale_attn_by_inverse_layer_idx", False)
    fields.expect("add_cross_attention", False)
    d_model, n_heads = fields.integer("n_embd", default=768), fields.integer("n_head", default=12)
    return ModelConfig(
        family="gpt2",
        vocab_size=fields.integer("vocab_size", default=50257),
        d_model=d_model,
        d_ff=fields.integer("n_inner", default=4 * d_model),
        n_heads=n_heads,
        n_kv_heads=n_heads,
        head_dim=fields.share("n_embd", d_model, "n_head", n_heads),
        n_decoder_layers=fields.integer("n_layer", default=12),
        max_positions=fields.integer("n_positions", "n_ctx", default=1024),
        norm_eps=fields.number("layer_norm_epsilon", default=1e-5),
        position="learned",
        activation=fields.choice("activation_function", of=ACTIVATIONS, default="gelu_new"),
        tied=fields.flag("tie_word_embeddings", default=True),
    )


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """Write transformers' GPT2Config."""
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": config.vocab_size,
        "n_embd": config.d_model,
        "n_inner": config.d_ff,
        "n_head": config.n_heads,
        "n_layer": config.n_decoder_layers,
        "n_positions": config.max_positions,
        "layer_norm_epsilon": config.norm_eps,
        "activation_function": HF_NAMES[config.activation],
        "tie_word_embeddings": config.tied,
    }


def keys(config: ModelConfig) -> KeyTable:
    """Transformers' module paths."""
    hf, ours = "transformer.h.{}", "decoder.layers.{}"
    return {
        "transformer.wte": "embed.tokens",
        "transformer.wpe": "embed.positions",
        f"{hf}.ln_1": f"{ours}.attention_norm",
        f"{hf}.attn.c_attn": Row(qkv(f"{ours}.attention"), Transposed()),
        f"{hf}.attn.c_proj": Row((f"{ours}.attention.output",), Transposed()),
        f"{hf}.ln_2": f"{ours}.mlp_norm",
        f"{hf}.mlp.c_fc": Row((f"{ours}.mlp.up",), Transposed()),
        f"{hf}.mlp.c_proj": Row((f"{ours}.mlp.down",), Transposed()),
        "transformer.ln_f": "decoder.norm",
        "lm_head": head(config),
    }


def from_gguf(fields: Fields, tensors: Tensors) -> ModelConfig:
    """Read what llama.cpp writes for GPT2LMHeadModel; it leaves the activation out, which is GPT-2's own."""
    return ModelConfig(
        family="gpt2",
        **sizes(fields, tensors),
        n_decoder_layers=fields.integer("block_count"),
        norm_eps=fields.number("attention.layer_norm_epsilon"),
        position="learned",
        activation="gelu_tanh",
        tied="output.weight" not in tensors,
    )


def gguf_keys(config: ModelConfig) -> KeyTable:
    """llama.cpp's names; its converter has transposed the Conv1D weights."""
    return decoder(config, fused("blk.{}.attn", "decoder.layers.{}.attention"))


HF = Format(
    types=("gpt2",),
    config=from_hf,
    keys=keys,
    prefix="transformer.",
    ignored=(r".*\.attn\.bias", r".*\.attn\.masked_bias"),
)

GGUF = Format(types=("gpt2",), config=from_gguf, keys=gguf_keys)

FAMILY = Family(
    name="gpt2",
    paper="Radford et al. 2019, Language Models are Unsupervised Multitask Learners",
    formats={"hf": HF, "gguf": GGUF},
    to_hf=to_hf,
)
