"""Shapes of decoders of the LLaMA architecture, for weights drawn at random: only their size matters."""

from typing import Any

from clearhead.config import ModelConfig

POSITIONS = 8192
SHAPES: dict[str, dict[str, Any]] = {  # those of real models; the second without the biases of its queries and keys
    "smollm2-1.7b": {
        "vocab_size": 49152,
        "d_model": 2048,
        "d_ff": 8192,
        "n_heads": 32,
        "n_kv_heads": 32,
        "n_decoder_layers": 24,
        "head_dim": 64,
    },
    "qwen2.5-1.5b": {
        "vocab_size": 151936,
        "d_model": 1536,
        "d_ff": 8960,
        "n_heads": 12,
        "n_kv_heads": 2,
        "n_decoder_layers": 28,
        "head_dim": 128,
    },
    "llama-3.2-1b": {
        "vocab_size": 128256,
        "d_model": 2048,
        "d_ff": 8192,
        "n_heads": 32,
        "n_kv_heads": 8,
        "n_decoder_layers": 16,
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


def decoder(shape: str) -> ModelConfig:
    """The configuration of a shape."""
    return ModelConfig(
        family="llama",
        **SHAPES[shape],
        max_positions=POSITIONS,
        norm="rms",
        position="rotary",
        attention_bias="none",
        activation="silu",
        mlp="gated",
        mlp_bias=False,
        tied=True,
    )
