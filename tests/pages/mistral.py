"""Mistral 7B's layout as an eighth family: the page a newcomer would write, and all that there is to write.

Jiang et al. 2023 (2310.06825), without the sliding window, which later releases dropped.
"""

from typing import Any

from clearhead.config import ModelConfig
from clearhead.families.family import Family, Format, Tensors
from clearhead.families.fields import Fields
from clearhead.families.keys import KeyTable, head


def from_hf(fields: Fields, tensors: Tensors) -> ModelConfig:
    """Read transformers' MistralConfig."""
    fields.expect("sliding_window", None)
    n_heads, rope = fields.integer("num_attention_heads"), fields.section("rope_parameters") or fields
    return ModelConfig(
        family="mistral",
        vocab_size=fields.integer("vocab_size"),
        d_model=fields.integer("hidden_size"),
        d_ff=fields.integer("intermediate_size"),
        n_heads=n_heads,
        n_kv_heads=fields.integer("num_key_value_heads"),
        head_dim=fields.integer("head_dim"),
        n_decoder_layers=fields.integer("num_hidden_layers"),
        max_positions=fields.integer("max_position_embeddings"),
        norm="rms",
        norm_eps=fields.number("rms_norm_eps"),
        position="rotary",
        rotary_base=rope.number("rope_theta"),
        attention_bias="none",
        activation="silu",
        mlp="gated",
        mlp_bias=False,
        tied=fields.flag("tie_word_embeddings", default=False),
    )


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """This scratch page is for reading only."""
    return {"model_type": "mistral"}


def keys(config: ModelConfig) -> KeyTable:
    """Transformers' module paths."""
    hf, ours = "model.layers.{}", "decoder.layers.{}"
    attention = {f"{hf}.self_attn.{p[0]}_proj": f"{ours}.attention.{p}" for p in ("query", "key", "value", "output")}
    return {
        "model.embed_tokens": "embed.tokens",
        f"{hf}.input_layernorm": f"{ours}.attention_norm",
        **attention,
        f"{hf}.post_attention_layernorm": f"{ours}.mlp_norm",
        **{f"{hf}.mlp.{part}_proj": f"{ours}.mlp.{part}" for part in ("gate", "up", "down")},
        "model.norm": "decoder.norm",
        "lm_head": head(config),
    }


FAMILY = Family(
    name="mistral",
    paper="Jiang et al. 2023, Mistral 7B (2310.06825)",
    formats={"hf": Format(types=("mistral",), config=from_hf, keys=keys, prefix="model.")},
    to_hf=to_hf,
)
