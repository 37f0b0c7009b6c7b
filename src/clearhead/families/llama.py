"""LLaMA and what follows its layout: RMS norms, rotary positions, grouped keys, a gated MLP, no biases.

Touvron et al. 2023 (2302.13971, 2307.09288); Grattafiori et al. 2024 (2407.21783). Covers LLaMA 1 to 3, TinyLlama,
SmolLM2 and Qwen2, which differs by biases on query, key and value alone.
"""

from typing import Any

from clearhead.config import ModelConfig
from clearhead.families.activations import ACTIVATIONS, HF_NAMES
from clearhead.families.family import Family, Format, Tensors
from clearhead.families.fields import Fields
from clearhead.families.keys import KeyTable, head
from clearhead.families.rotary import scaling_from_hf, scaling_to_hf


def from_hf(fields: Fields, tensors: Tensors) -> ModelConfig:
    """Read transformers' LlamaConfig or Qwen2Config."""
    qwen = fields.text("model_type") == "qwen2"
    fields.expect("use_sliding_window", False)
    d_model, n_heads = fields.integer("hidden_size"), fields.integer("num_attention_heads")
    rope = fields.section("rope_parameters") or fields
    return ModelConfig(
        family="llama",
        vocab_size=fields.integer("vocab_size"),
        d_model=d_model,
        d_ff=fields.integer("intermediate_size"),
        n_heads=n_heads,
        n_kv_heads=fields.integer("num_key_value_heads", default=n_heads),
        head_dim=fields.integer("head_dim", default=0) or fields.share("hidden_size", d_model, "heads", n_heads),
        n_decoder_layers=fields.integer("num_hidden_layers"),
        max_positions=fields.integer("max_position_embeddings", default=2048),
        norm="rms",
        norm_eps=fields.number("rms_norm_eps", default=1e-6),
        position="rotary",
        rotary_base=rope.number("rope_theta", default=10_000.0),
        rotary_scaling=scaling_from_hf(fields),
        attention_bias="qkv" if qwen else "all" if fields.flag("attention_bias", default=False) else "none",
        activation=fields.choice("hidden_act", of=ACTIVATIONS, default="silu"),
        mlp="gated",
        mlp_bias=fields.flag("mlp_bias", default=False),
        tied=fields.flag("tie_word_embeddings", default=False),
    )


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """Write transformers' LlamaConfig, or Qwen2Config where only query, key and value have biases."""
    qwen = config.attention_bias == "qkv"
    shared = {
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "intermediate_size": config.d_ff,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "head_dim": config.head_dim,
        "num_hidden_layers": config.n_decoder_layers,
        "max_position_embeddings": config.max_positions,
        "rms_norm_eps": config.norm_eps,
        "hidden_act": HF_NAMES[config.activation],
        "tie_word_embeddings": config.tied,
        **scaling_to_hf(config),
    }
    if qwen:
        return {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], **shared}
    biases = {"attention_bias": config.attention_bias == "all", "mlp_bias": config.mlp_bias}
    return {"model_type": "llama", "architectures": ["LlamaForCausalLM"], **shared, **biases}


def keys(config: ModelConfig) -> KeyTable:
    """Transformers' module paths."""
    hf, ours = "model.layers.{}", "decoder.layers.{}"
    return {
        "model.embed_tokens": "embed.tokens",
        f"{hf}.input_layernorm": f"{ours}.attention_norm",
        f"{hf}.self_attn.q_proj": f"{ours}.attention.query",
        f"{hf}.self_attn.k_proj": f"{ours}.attention.key",
        f"{hf}.self_attn.v_proj": f"{ours}.attention.value",
        f"{hf}.self_attn.o_proj": f"{ours}.attention.output",
        f"{hf}.post_attention_layernorm": f"{ours}.mlp_norm",
        f"{hf}.mlp.gate_proj": f"{ours}.mlp.gate",
        f"{hf}.mlp.up_proj": f"{ours}.mlp.up",
        f"{hf}.mlp.down_proj": f"{ours}.mlp.down",
        "model.norm": "decoder.norm",
        "lm_head": head(config),
    }


HF = Format(
    types=("llama", "qwen2"), config=from_hf, keys=keys, prefix="model.", ignored=(r".*\.rotary_emb\.inv_freq",)
)

FAMILY = Family(
    name="llama",
    paper="Touvron et al. 2023, LLaMA: Open and Efficient Foundation Language Models (2302.13971)",
    formats={"hf": HF},
    to_hf=to_hf,
)
