"""LLaMA and what follows its layout: RMS norms, rotary positions, grouped keys, a gated MLP, no biases.

Touvron et al. 2023 (2302.13971, 2307.09288); Grattafiori et al. 2024 (2407.21783). Covers LLaMA 1 to 3, TinyLlama,
SmolLM2 and Qwen2, which differs by biases on query, key and value alone.
"""

from typing import Any

from clearhead.config import ModelConfig
from clearhead.families.activations import ACTIVATIONS, HF_NAMES
from clearhead.families.family import Family, Format, Tensors
from clearhead.families.fields import Fields
from clearhead.families.gguf_names import decoder, separate, sizes
from clearhead.families.keys import KeyTable, RotaryPairs, Row, head
from clearhead.families.rotary import base_from_hf, scaling_from_gguf, scaling_from_hf, scaling_to_hf


def from_hf(fields: Fields, tensors: Tensors) -> ModelConfig:
    """Read transformers' LlamaConfig or Qwen2Config."""
    qwen = fields.text("model_type") == "qwen2"
    fields.expect("use_sliding_window", False)
    d_model, n_heads = fields.integer("hidden_size"), fields.integer("num_attention_heads")
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
        rotary_base=base_from_hf(fields),
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


def from_gguf(fields: Fields, tensors: Tensors) -> ModelConfig:
    """Read what llama.cpp writes for LlamaForCausalLM (and Mistral) and for Qwen2ForCausalLM."""
    qwen = fields.text("general.architecture") == "qwen2"
    fields.expect("expert_count", 0)
    counts = sizes(fields, tensors)
    fields.expect("rope.dimension_count", counts["head_dim"])
    return ModelConfig(
        family="llama",
        **counts,
        n_decoder_layers=fields.integer("block_count"),
        norm="rms",
        norm_eps=fields.number("attention.layer_norm_rms_epsilon"),
        position="rotary",
        rotary_base=fields.number("rope.freq_base", default=10_000.0),
        rotary_scaling=scaling_from_gguf(fields, tensors, counts["head_dim"]),
        attention_bias="qkv" if qwen else "all" if "blk.0.attn_q.bias" in tensors else "none",
        activation="silu",
        mlp="gated",
        mlp_bias="blk.0.ffn_up.bias" in tensors,
        tied="output.weight" not in tensors,
    )


def gguf_keys(config: ModelConfig) -> KeyTable:
    """llama.cpp's names; of a LLaMA (not of a Qwen2) it reorders query and key back into the release's pairs."""
    block, ours = "blk.{}.attn", "decoder.layers.{}.attention"
    attention = dict(separate(block, ours))
    if config.attention_bias != "qkv":
        attention |= {f"{block}_{p[0]}": Row((f"{ours}.{p}",), RotaryPairs()) for p in ("query", "key")}
    return decoder(config, attention)


def from_llama2c(fields: Fields, tensors: Tensors) -> ModelConfig:
    """Read the header of a llama2.c file; what it leaves out are constants of run.c."""
    d_model, n_heads = fields.integer("dim"), fields.integer("n_heads")
    return ModelConfig(
        family="llama",
        vocab_size=fields.integer("vocab_size"),
        d_model=d_model,
        d_ff=fields.integer("hidden_dim"),
        n_heads=n_heads,
        n_kv_heads=fields.integer("n_kv_heads"),
        head_dim=fields.share("dim", d_model, "n_heads", n_heads),
        n_decoder_layers=fields.integer("n_layers"),
        max_positions=fields.integer("seq_len"),
        norm="rms",
        norm_eps=1e-5,
        position="rotary",
        attention_bias="none",
        activation="silu",
        mlp="gated",
        mlp_bias=False,
        tied="output.weight" not in tensors,
    )


def llama2c_keys(config: ModelConfig) -> KeyTable:
    """The names of the LLaMA release, whose order of pairs llama2.c keeps."""
    block, ours = "layers.{}", "decoder.layers.{}"
    return {
        "tok_embeddings": "embed.tokens",
        f"{block}.attention_norm": f"{ours}.attention_norm",
        f"{block}.attention.wq": Row((f"{ours}.attention.query",), RotaryPairs()),
        f"{block}.attention.wk": Row((f"{ours}.attention.key",), RotaryPairs()),
        f"{block}.attention.wv": f"{ours}.attention.value",
        f"{block}.attention.wo": f"{ours}.attention.output",
        f"{block}.ffn_norm": f"{ours}.mlp_norm",
        f"{block}.feed_forward.w1": f"{ours}.mlp.gate",
        f"{block}.feed_forward.w2": f"{ours}.mlp.down",
        f"{block}.feed_forward.w3": f"{ours}.mlp.up",
        "norm": "decoder.norm",
        "output": head(config),
    }


HF = Format(
    types=("llama", "qwen2"), config=from_hf, keys=keys, prefix="model.", ignored=(r".*\.rotary_emb\.inv_freq",)
)

# rope_freqs becomes part of the configuration.
GGUF = Format(types=("llama", "qwen2"), config=from_gguf, keys=gguf_keys, ignored=(r"rope_freqs\.weight",))
LLAMA2C = Format(types=("llama2.c",), config=from_llama2c, keys=llama2c_keys)

FAMILY = Family(
    name="llama",
    paper="Touvron et al. 2023, LLaMA: Open and Efficient Foundation Language Models (2302.13971)",
    formats={"hf": HF, "gguf": GGUF, "llama2c": LLAMA2C},
    to_hf=to_hf,
)
