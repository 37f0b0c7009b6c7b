"""T5 and FLAN-T5: every task as text to text, with relative positions added to the scores.

Raffel et al. 2019 (1910.10683), section 2.1; Chung et al. 2022 (2210.11416) for FLAN-T5. Scores are not scaled (the
initialisation absorbs it). T5 ties its head and scales it by d_model^-1/2; T5 1.1 and FLAN-T5 have their own head and a
gated MLP.
"""

from typing import Any

from clearhead.config import Activation, ModelConfig
from clearhead.families.family import Family, Format, Tensors
from clearhead.families.fields import Fields
from clearhead.families.gguf_names import EMBEDDING, mlp, sizes
from clearhead.families.keys import Copy, KeyTable, head

MLPS: dict[str, tuple[str, Activation]] = {
    "relu": ("plain", "relu"),
    "gated-gelu": ("gated", "gelu_tanh"),
    "gated-silu": ("gated", "silu"),
}


def from_hf(fields: Fields, tensors: Tensors) -> ModelConfig:
    """Read transformers' T5Config."""
    d_model, n_heads, n_layers = fields.size("d_model"), fields.integer("num_heads"), fields.integer("num_layers")
    tied, scaled = tying(fields, tensors)
    mlp, activation = fields.choice("feed_forward_proj", of=MLPS, default="relu")
    return ModelConfig(
        family="t5",
        vocab_size=fields.integer("vocab_size"),
        d_model=d_model,
        d_ff=fields.integer("d_ff"),
        n_heads=n_heads,
        n_kv_heads=n_heads,
        head_dim=fields.integer("d_kv"),
        n_encoder_layers=n_layers,
        n_decoder_layers=fields.integer("num_decoder_layers", default=n_layers),
        max_positions=fields.integer("n_positions", default=512),
        norm="rms",
        norm_eps=fields.number("layer_norm_epsilon", default=1e-6),
        position="relative",
        relative_buckets=fields.integer("relative_attention_num_buckets", default=32),
        relative_max_distance=fields.integer("relative_attention_max_distance", default=128),
        attention_bias="none",
        attention_scale=1.0,
        activation=activation,
        mlp="gated" if mlp == "gated" else "plain",
        mlp_bias=False,
        tied=tied,
        logit_scale=d_model**-0.5 if scaled else 1.0,
    )


def tying(fields: Fields, tensors: Tensors) -> tuple[bool, bool]:
    """Whether the head is the embedding, and whether its logits are scaled.

    One key once said both. Transformers 5 says them apart: it writes `tie_word_embeddings` true for either model,
    `scale_decoder_outputs` for the scaling, and a head only where it is not the embedding.
    """
    tied = fields.flag("tie_word_embeddings", default=True)
    scaled = fields.flag("scale_decoder_outputs", default=None)
    return (tied, tied) if scaled is None else ("lm_head.weight" not in tensors, scaled)


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """Write transformers' T5Config."""
    return {
        "model_type": "t5",
        "architectures": ["T5ForConditionalGeneration"],
        "vocab_size": config.vocab_size,
        "d_model": config.d_model,
        "d_kv": config.head_dim,
        "d_ff": config.d_ff,
        "num_heads": config.n_heads,
        "num_layers": config.n_encoder_layers,
        "num_decoder_layers": config.n_decoder_layers,
        "n_positions": config.max_positions,
        "layer_norm_epsilon": config.norm_eps,
        "relative_attention_num_buckets": config.relative_buckets,
        "relative_attention_max_distance": config.relative_max_distance,
        "feed_forward_proj": next(name for name, mlp in MLPS.items() if mlp == (config.mlp, config.activation)),
        "tie_word_embeddings": config.tied,
        "scale_decoder_outputs": config.logit_scale != 1.0,
    }


def keys(config: ModelConfig) -> KeyTable:
    """Transformers' module paths; the decoder's MLP stands third, after cross-attention."""
    return {
        "shared": "embed.tokens",
        "encoder.embed_tokens": Copy("embed.tokens"),
        "decoder.embed_tokens": Copy("embed.tokens"),
        **stack_keys(config, "encoder", mlp_index=1),
        **stack_keys(config, "decoder", mlp_index=2),
        "lm_head": head(config),
    }


def stack_keys(config: ModelConfig, stack: str, mlp_index: int) -> KeyTable:
    """The rows of one stack."""
    hf, ours = f"{stack}.block.{{}}.layer", f"{stack}.layers.{{}}"
    mlp = f"{hf}.{mlp_index}.DenseReluDense"
    up = {f"{mlp}.wi_0": f"{ours}.mlp.gate", f"{mlp}.wi_1": f"{ours}.mlp.up"}
    table = {
        f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias": f"{stack}.position_bias",
        f"{hf}.0.layer_norm": f"{ours}.attention_norm",
        f"{hf}.1.layer_norm": f"{ours}.cross_attention_norm",
        f"{hf}.{mlp_index}.layer_norm": f"{ours}.mlp_norm",
        **(up if config.mlp == "gated" else {f"{mlp}.wi": f"{ours}.mlp.up"}),
        f"{mlp}.wo": f"{ours}.mlp.down",
        f"{stack}.final_layer_norm": f"{stack}.norm",
    }
    for theirs, mine in (("0.SelfAttention", "attention"), ("1.EncDecAttention", "cross_attention")):
        for letter, part in (("q", "query"), ("k", "key"), ("v", "value"), ("o", "output")):
            table[f"{hf}.{theirs}.{letter}"] = f"{ours}.{mine}.{part}"
    return table


def from_gguf(fields: Fields, tensors: Tensors) -> ModelConfig:
    """Read what llama.cpp writes for T5ForConditionalGeneration.

    It keeps neither the activation nor the scale of the logits nor the longest distance. The original T5 is told by its
    plain MLP: its logits are scaled, even where a converter stored its head a second time.
    """
    gated = "enc.blk.0.ffn_gate.weight" in tensors
    tied = "output.weight" not in tensors
    counts = sizes(fields, tensors)
    return ModelConfig(
        family="t5",
        **counts,
        n_encoder_layers=fields.integer("block_count"),
        n_decoder_layers=fields.integer("decoder_block_count", "block_count"),
        norm="rms",
        norm_eps=fields.number("attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon"),
        position="relative",
        relative_buckets=fields.integer("attention.relative_buckets_count"),
        attention_bias="none",
        attention_scale=1.0,
        activation="gelu_tanh" if gated else "relu",
        mlp="gated" if gated else "plain",
        mlp_bias=False,
        tied=tied,
        logit_scale=counts["d_model"] ** -0.5 if tied or not gated else 1.0,
    )


def gguf_keys(config: ModelConfig) -> KeyTable:
    """llama.cpp's names: `enc.blk` and `dec.blk`, the bias of relative positions in the first block of each."""
    table = {**EMBEDDING, "output": head(config)}
    for short, stack in (("enc", "encoder"), ("dec", "decoder")):
        block, ours = f"{short}.blk.{{}}", f"{stack}.layers.{{}}"
        table.update({f"{short}.blk.0.attn_rel_b": f"{stack}.position_bias", f"{short}.output_norm": f"{stack}.norm"})
        table.update({**mlp(block, ours), f"{block}.ffn_norm": f"{ours}.mlp_norm"})
        for theirs, mine in (("attn", "attention"), ("cross_attn", "cross_attention")):
            table[f"{block}.{theirs}_norm"] = f"{ours}.{mine}_norm"
            table.update(
                {f"{block}.{theirs}_{p[0]}": f"{ours}.{mine}.{p}" for p in ("query", "key", "value", "output")}
            )
    return table


HF = Format(
    types=("t5",),
    config=from_hf,
    keys=keys,
    # Early files carry a position table for cross-attention that no T5 reads.
    ignored=(r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",),
)

GGUF = Format(types=("t5",), config=from_gguf, keys=gguf_keys, ignored=(r"dec\.blk\.\d+\.cross_attn_rel_b\.weight",))

FAMILY = Family(
    name="t5",
    paper="Raffel et al. 2019, Exploring the Limits of Transfer Learning (1910.10683)",
    formats={"hf": HF, "gguf": GGUF},
    to_hf=to_hf,
)
