"""PaLM: attention and MLP side by side on one norm, all query heads sharing one key and value.

Chowdhery et al. 2022 (2204.02311), section 2: SwiGLU, parallel layers, multi-query attention, rotary positions, a
shared input and output embedding with logits scaled by d_model^-1/2, no biases anywhere. Google released no weights;
files are laid out as the public port `palm-rlhf-pytorch` lays them out, with one fused projection for query, key,
value, MLP and gate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from clearhead.config import ModelConfig
from clearhead.families.family import Family, Format, Tensors
from clearhead.families.fields import Fields
from clearhead.families.keys import Array, KeyTable, Row, Stacked, head, qkv
from clearhead.families.layout import Shape


@dataclass(frozen=True, slots=True)
class AroundZero:
    """A norm's gain stored as its difference from 1."""

    by_rows: ClassVar[bool] = False

    def split(self, array: Array, shapes: Sequence[Shape], config: ModelConfig) -> list[Array]:
        return [array + np.ones_like(array)]

    def join(self, arrays: Sequence[Array], config: ModelConfig) -> Array:
        return arrays[0] - np.ones_like(arrays[0])


def from_hf(fields: Fields, tensors: Tensors) -> ModelConfig:
    """Read a config.json with the constructor arguments of the port."""
    fields.expect("qk_rmsnorm", False)
    fields.expect("use_xpos", False)
    d_model = fields.size("dim")
    return ModelConfig(
        family="palm",
        vocab_size=fields.integer("num_tokens"),
        d_model=d_model,
        d_ff=fields.integer("ff_inner_dim", default=4 * d_model),
        n_heads=fields.integer("heads", default=8),
        n_kv_heads=1,
        head_dim=fields.integer("dim_head", default=64),
        n_decoder_layers=fields.integer("depth"),
        max_positions=fields.integer("max_positions", default=2048),
        norm="layer_without_bias",
        norm_eps=fields.number("norm_eps", default=1e-5),
        residual="parallel",
        position="rotary",
        rotary_base=fields.number("rotary_base", default=10_000.0),
        attention_bias="none",
        activation="silu",
        mlp="gated",
        mlp_bias=False,
        tied=fields.flag("tie_word_embeddings", default=True),
        logit_scale=fields.number("logit_scale", default=d_model**-0.5),
    )


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """Write the port's constructor arguments, and what it has as constants."""
    return {
        "model_type": "palm",
        "num_tokens": config.vocab_size,
        "dim": config.d_model,
        "ff_inner_dim": config.d_ff,
        "heads": config.n_heads,
        "dim_head": config.head_dim,
        "depth": config.n_decoder_layers,
        "max_positions": config.max_positions,
        "norm_eps": config.norm_eps,
        "rotary_base": config.rotary_base,
        "tie_word_embeddings": config.tied,
        "logit_scale": config.logit_scale,
    }


def keys(config: ModelConfig) -> KeyTable:
    """The port's module paths."""
    port, ours = "layers.{}.fn", "decoder.layers.{}"
    fused = (*qkv(f"{ours}.attention"), f"{ours}.mlp.up", f"{ours}.mlp.gate")
    return {
        "token_emb": "embed.tokens",
        f"{port}.norm.gamma": Row((f"{ours}.attention_norm.weight",), AroundZero()),
        f"{port}.fused_attn_ff_proj": Row(fused, Stacked()),
        f"{port}.attn_out": f"{ours}.attention.output",
        f"{port}.ff_out.2": f"{ours}.mlp.down",
        "norm.gamma": Row(("decoder.norm.weight",), AroundZero()),
        "to_logits": head(config),
    }


HF = Format(
    types=("palm",),
    config=from_hf,
    keys=keys,
    ignored=(r".*norm\.beta", r".*\.rotary_emb\.(inv_freq|scale)", r".*\.pos_emb(_scale)?"),
)

FAMILY = Family(
    name="palm",
    paper="Chowdhery et al. 2022, PaLM: Scaling Language Modeling with Pathways (2204.02311)",
    formats={"hf": HF},
    to_hf=to_hf,
)
