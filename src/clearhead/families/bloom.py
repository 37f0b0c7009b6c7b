"""BLOOM: GPT's decoder with ALiBi in place of a position table, and a norm on the embedding.

BigScience 2022 (2211.05100); Press et al. 2021 (2108.12409) for ALiBi. Query, key and value are one matrix,
interleaved head by head.
"""

from typing import Any

from clearhead.config import ModelConfig
from clearhead.families.family import Family, Format, Tensors
from clearhead.families.fields import Fields
from clearhead.families.gguf_names import decoder, fused, sizes
from clearhead.families.keys import HeadInterleaved, KeyTable, Row, head, qkv


def from_hf(fields: Fields, tensors: Tensors) -> ModelConfig:
    """Read transformers' BloomConfig."""
    fields.expect("apply_residual_connection_post_layernorm", False)
    d_model = fields.integer("hidden_size", "n_embed")
    n_heads = fields.integer("n_head", "num_attention_heads")
    return ModelConfig(
        family="bloom",
        vocab_size=fields.integer("vocab_size"),
        d_model=d_model,
        d_ff=4 * d_model,
        n_heads=n_heads,
        n_kv_heads=n_heads,
        head_dim=fields.share("hidden_size", d_model, "n_head", n_heads),
        n_decoder_layers=fields.integer("n_layer", "num_hidden_layers"),
        max_positions=fields.integer("seq_length", default=2048),
        norm_eps=fields.number("layer_norm_epsilon", default=1e-5),
        position="alibi",
        activation="gelu_tanh",
        embedding_norm=True,
        tied=fields.flag("tie_word_embeddings", default=True),
    )


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """Write transformers' BloomConfig."""
    return {
        "model_type": "bloom",
        "architectures": ["BloomForCausalLM"],
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "n_head": config.n_heads,
        "n_layer": config.n_decoder_layers,
        "seq_length": config.max_positions,
        "layer_norm_epsilon": config.norm_eps,
        "tie_word_embeddings": config.tied,
    }


def keys(config: ModelConfig) -> KeyTable:
    """Transformers' module paths."""
    hf, ours = "transformer.h.{}", "decoder.layers.{}"
    return {
        "transformer.word_embeddings": "embed.tokens",
        "transformer.word_embeddings_layernorm": "embed.norm",
        f"{hf}.input_layernorm": f"{ours}.attention_norm",
        f"{hf}.self_attention.query_key_value": Row(qkv(f"{ours}.attention"), HeadInterleaved()),
        f"{hf}.self_attention.dense": f"{ours}.attention.output",
        f"{hf}.post_attention_layernorm": f"{ours}.mlp_norm",
        f"{hf}.mlp.dense_h_to_4h": f"{ours}.mlp.up",
        f"{hf}.mlp.dense_4h_to_h": f"{ours}.mlp.down",
        "transformer.ln_f": "decoder.norm",
        "lm_head": head(config),
    }


def from_gguf(fields: Fields, tensors: Tensors) -> ModelConfig:
    """Read what llama.cpp writes for BloomForCausalLM."""
    return ModelConfig(
        family="bloom",
        **sizes(fields, tensors),
        n_decoder_layers=fields.integer("block_count"),
        norm_eps=fields.number("attention.layer_norm_epsilon"),
        position="alibi",
        activation="gelu_tanh",
        embedding_norm=True,
        tied="output.weight" not in tensors,
    )


def gguf_keys(config: ModelConfig) -> KeyTable:
    """llama.cpp's names; its converter has taken the interleaved heads of query, key and value apart."""
    return decoder(config, fused("blk.{}.attn", "decoder.layers.{}.attention"))


HF = Format(types=("bloom",), config=from_hf, keys=keys, prefix="transformer.")

GGUF = Format(types=("bloom",), config=from_gguf, keys=gguf_keys)

FAMILY = Family(
    name="bloom",
    paper="BigScience 2022, BLOOM: A 176B-Parameter Open-Access Multilingual Language Model (2211.05100)",
    formats={"hf": HF, "gguf": GGUF},
    to_hf=to_hf,
)
