"""Models of random weights, where only the shape matters."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from clearhead.config import ModelConfig
from clearhead.families.layout import layout
from clearhead.native.executor import NativeExecutor
from clearhead.native.packing import pack_weights

RANDOM = "random:"
SHAPES: dict[str, dict[str, Any]] = {
    "smollm2-1.7b": {
        "vocab_size": 49152,
        "d_model": 2048,
        "d_ff": 8192,
        "n_heads": 32,
        "n_kv_heads": 32,
        "n_decoder_layers": 24,
        "head_dim": 64,
    },
    "tiny": {
        "vocab_size": 32000,
        "d_model": 64,
        "d_ff": 160,
        "n_heads": 4,
        "n_kv_heads": 2,
        "n_decoder_layers": 2,
        "head_dim": 16,
    },
}


def random_executor(shape: str, dtype: str, threads: int) -> NativeExecutor:
    """A decoder of the LLaMA architecture."""
    config = ModelConfig(
        family="llama",
        **SHAPES[shape],
        max_positions=8192,
        norm="rms",
        position="rotary",
        attention_bias="none",
        activation="silu",
        mlp="gated",
        mlp_bias=False,
        tied=True,
    )
    dtype = "float32" if dtype == "auto" else dtype
    return NativeExecutor(config, pack_weights(config, random_weights(config), dtype), dtype, threads=threads)


def random_weights(config: ModelConfig) -> Iterator[tuple[str, np.ndarray]]:
    """Every weight; large ones repeat one million numbers, since drawing billions takes longer than all else."""
    drawn = (np.random.default_rng(0).standard_normal(2**20) * 0.02).astype(np.float32)
    for name, shape in layout(config).items():
        values = np.resize(drawn, shape)
        yield name, values + 1 if name.endswith("norm.weight") else values
