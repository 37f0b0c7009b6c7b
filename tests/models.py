"""One small configuration per family, with random weights strong enough that every choice shows."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from clearhead.config import ModelConfig
from clearhead.executor import Executor
from clearhead.families.layout import layout
from clearhead.model.executor import TorchExecutor
from clearhead.native.executor import NativeExecutor
from clearhead.native.packing import pack_weights

SIZE: dict[str, Any] = {"vocab_size": 31, "d_model": 24, "d_ff": 40, "n_heads": 6, "n_kv_heads": 6, "head_dim": 4}
DECODER: dict[str, Any] = {"n_decoder_layers": 2, "max_positions": 32}
BOTH: dict[str, Any] = {"n_encoder_layers": 2, "n_decoder_layers": 2, "max_positions": 32}
LLAMA: dict[str, Any] = {"norm": "rms", "position": "rotary", "activation": "silu", "mlp": "gated", "mlp_bias": False}

BY_FAMILY: dict[str, ModelConfig] = {
    "transformer": ModelConfig(
        family="transformer",
        **SIZE,
        **BOTH,
        norm_placement="post",
        position="sinusoidal",
        activation="relu",
        embedding_scale=24**0.5,
        head_bias=True,
    ),
    "bert": ModelConfig(
        family="bert",
        **SIZE,
        n_encoder_layers=2,
        max_positions=32,
        norm_placement="post",
        norm_eps=1e-12,
        position="learned",
        n_token_types=2,
        embedding_norm=True,
        head="mlm",
        head_bias=True,
    ),
    "gpt2": ModelConfig(family="gpt2", **SIZE, **DECODER, position="learned", activation="gelu_tanh"),
    "llama": ModelConfig(
        family="llama", **SIZE | {"n_kv_heads": 2}, **DECODER, **LLAMA, attention_bias="none", tied=False
    ),
    "qwen2": ModelConfig(family="llama", **SIZE | {"n_kv_heads": 3}, **DECODER, **LLAMA, attention_bias="qkv"),
    "t5": ModelConfig(
        family="t5",
        **SIZE | {"head_dim": 6},
        **BOTH,
        norm="rms",
        norm_eps=1e-6,
        position="relative",
        relative_buckets=8,
        relative_max_distance=16,
        attention_bias="none",
        attention_scale=1.0,
        activation="gelu_tanh",
        mlp="gated",
        mlp_bias=False,
        tied=False,
    ),
    "bloom": ModelConfig(
        family="bloom",
        **SIZE | {"d_ff": 96},
        **DECODER,
        position="alibi",
        activation="gelu_tanh",
        embedding_norm=True,
    ),
    "palm": ModelConfig(
        family="palm",
        **SIZE | {"n_kv_heads": 1},
        **DECODER,
        **LLAMA | {"norm": "layer_without_bias"},
        residual="parallel",
        attention_bias="none",
        logit_scale=24**-0.5,
    ),
}


def random_weights(config: ModelConfig, seed: int = 7) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Every weight of `config`, drawn by its name, so that two configurations share what they have in common."""
    for name, shape in layout(config).items():
        generator = np.random.default_rng([seed, *name.encode()])
        values = generator.normal(size=shape)
        is_gain = name.endswith("norm.weight")
        yield name, 1 + 0.3 * values if is_gain else values * (0.7 / shape[-1] ** 0.5 if len(shape) == 2 else 0.3)


@cache
def executor(config: ModelConfig, dtype: str = "float64") -> TorchExecutor:
    """A random model, ready to run."""
    return TorchExecutor(config, random_weights(config), dtype, "cpu")


@cache
def native(
    config: ModelConfig,
    dtype: str = "float32",
    instruction_set: str | None = None,
    threads: int = 2,
    kv: str | None = None,
) -> NativeExecutor:
    """The same model on the native executor."""
    packed = pack_weights(config, random_weights(config), dtype)
    return NativeExecutor(config, packed, dtype, threads=threads, instruction_set=instruction_set, kv=kv)


Make = Callable[[ModelConfig], Executor]
EXECUTORS = pytest.mark.parametrize("make", [executor, native], ids=["torch", "native"])  # float64, and float32
