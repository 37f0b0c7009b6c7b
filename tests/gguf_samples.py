"""Tiny random models in GGUF files, named and rearranged as llama.cpp's converter does it.

Names come from the `gguf` package's own table of Hugging Face names; the rearrangements and the settings are those of
llama.cpp's `conversion/` folder, written down here a second time on purpose: what the package reads is compared with
what transformers' own files give.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gguf
import numpy as np
import transformers as tf
from safetensors.numpy import load_file

from oracles import redraw

Arrays = dict[str, np.ndarray]
SIZES = {"vocab_size": 21, "num_hidden_layers": 2, "bos_token_id": 0, "eos_token_id": 1}


def models() -> dict[str, Any]:
    """One random float32 model for each thing a file may say."""
    llama = SIZES | {"hidden_size": 24, "intermediate_size": 40, "num_attention_heads": 3, "rms_norm_eps": 1e-5}
    llama |= {"num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64}
    rope = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    rope |= {"original_max_position_embeddings": 16}
    t5 = {
        "vocab_size": 21,
        "d_model": 12,
        "d_kv": 4,
        "d_ff": 20,
        "num_layers": 2,
        "num_decoder_layers": 1,
        "num_heads": 2,
    }
    t5 |= {"decoder_start_token_id": 0, "relative_attention_num_buckets": 8}
    flan = tf.T5ForConditionalGeneration(tf.T5Config(**t5, feed_forward_proj="gated-gelu"))
    flan.config.tie_word_embeddings = flan.config.scale_decoder_outputs = False
    flan.lm_head.weight = type(flan.lm_head.weight)(flan.lm_head.weight.detach().clone())
    found = {
        "llama": tf.LlamaForCausalLM(tf.LlamaConfig(**llama)),
        "llama with biases": tf.LlamaForCausalLM(
            tf.LlamaConfig(**llama, attention_bias=True, mlp_bias=True, rope_parameters=rope, tie_word_embeddings=True)
        ),
        "qwen2": tf.Qwen2ForCausalLM(tf.Qwen2Config(**llama, tie_word_embeddings=True)),
        "gpt2": tf.GPT2LMHeadModel(tf.GPT2Config(vocab_size=21, n_embd=12, n_layer=2, n_head=3, n_positions=32)),
        "bloom": tf.BloomForCausalLM(tf.BloomConfig(vocab_size=21, hidden_size=12, n_layer=2, n_head=3)),
        "bert": tf.BertModel(
            tf.BertConfig(
                vocab_size=21, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20,
                max_position_embeddings=32,
            ),
            add_pooling_layer=False,
        ),
        "t5": tf.T5ForConditionalGeneration(tf.T5Config(**t5, feed_forward_proj="relu")),
        "flan": flan,
    }  # fmt: skip
    return {name: redraw(model, seed).float() for seed, (name, model) in enumerate(found.items())}


def write(folder: Path, path: Path, kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32) -> dict[str, Any]:
    """Convert a Hugging Face folder to a GGUF file; matrices in `kind` where it can hold them. Returns the config."""
    config = tf.AutoConfig.from_pretrained(folder)
    arch = {"bert": gguf.MODEL_ARCH.BERT}.get(config.model_type) or gguf.MODEL_ARCH[config.model_type.upper()]
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    SETTINGS[config.model_type](writer, config)
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    for name, array in tensors(load_file(folder / "model.safetensors"), config):
        new = names.get_name(name, try_suffixes=(".weight", ".bias")) if name != "rope_freqs.weight" else name
        assert new is not None, name
        quantised = kind if array.ndim == 2 and array.shape[1] % gguf.GGML_QUANT_SIZES[kind][0] == 0 else 0
        writer.add_tensor(new, gguf.quants.quantize(array, gguf.GGMLQuantizationType(quantised)), raw_dtype=quantised)
    finish(writer)
    return config.to_dict()


def finish(writer: gguf.GGUFWriter) -> None:
    """Write everything out."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tensors(state: Arrays, config: Any) -> Iterator[tuple[str, np.ndarray]]:
    """The converter's `modify_tensors` of each architecture."""
    prefix = {"bloom": "transformer.", "bert": "bert."}.get(config.model_type, "")
    for name, array in state.items():
        yield name.removeprefix(prefix), np.ascontiguousarray(rearranged(name, array.astype(np.float32), config))
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") == "llama3":
        yield "rope_freqs.weight", llama3_factors(config.head_dim, rope)


def rearranged(name: str, array: np.ndarray, config: Any) -> np.ndarray:
    """One tensor as the converter writes it."""
    kind = config.model_type
    if kind == "llama" and ".q_proj." in name:
        return permute(array, config.num_attention_heads)
    if kind == "llama" and ".k_proj." in name:
        return permute(array, config.num_key_value_heads)
    if kind == "gpt2" and name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
        return array.T
    if kind == "bloom" and ".query_key_value." in name:
        heads = array.reshape(config.n_head, 3, -1, *array.shape[1:])
        return np.concatenate([heads[:, part].reshape(-1, *array.shape[1:]) for part in range(3)])
    return array


def permute(array: np.ndarray, n_heads: int) -> np.ndarray:
    """From halves to pairs, head by head."""
    halves = array.reshape(n_heads, 2, array.shape[0] // n_heads // 2, *array.shape[1:])
    return halves.swapaxes(1, 2).reshape(array.shape)


def llama3_factors(head_dim: int, rope: dict[str, Any]) -> np.ndarray:
    """What the converter makes of Llama 3.1's scaling: one factor for each frequency."""
    factors = []
    for frequency in rope["rope_theta"] ** -(np.arange(0, head_dim, 2) / head_dim):
        turns = rope["original_max_position_embeddings"] * frequency / (2 * np.pi)
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        smooth = (turns - low) / (high - low)
        middle = 1 / ((1 - smooth) / rope["factor"] + smooth)
        factors.append(1.0 if turns > high else rope["factor"] if turns < low else middle)
    return np.array(factors, dtype=np.float32)


def common(writer: gguf.GGUFWriter, *, positions: int, width: int, hidden: int, layers: int, heads: int) -> None:
    """What every converter writes."""
    writer.add_context_length(positions)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(hidden)
    writer.add_block_count(layers)
    writer.add_head_count(heads)


def llama(writer: gguf.GGUFWriter, c: Any) -> None:
    common(
        writer, positions=c.max_position_embeddings, width=c.hidden_size, hidden=c.intermediate_size,
        layers=c.num_hidden_layers, heads=c.num_attention_heads,
    )  # fmt: skip
    writer.add_head_count_kv(c.num_key_value_heads)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    writer.add_rope_freq_base(c.rope_parameters["rope_theta"])
    writer.add_key_length(c.head_dim)
    writer.add_value_length(c.head_dim)
    writer.add_vocab_size(c.vocab_size)
    if c.model_type == "llama":
        writer.add_rope_dimension_count(c.head_dim)
    rope_scaling(writer, c.rope_parameters)


def rope_scaling(writer: gguf.GGUFWriter, rope: dict[str, Any]) -> None:
    """The scalings that have keys."""
    if rope["rope_type"] not in ("linear", "yarn"):
        return
    writer.add_rope_scaling_type(gguf.RopeScalingType[rope["rope_type"].upper()])
    writer.add_rope_scaling_factor(rope["factor"])
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        for key, add in (
            ("attention_factor", writer.add_rope_scaling_yarn_attn_factor),
            ("beta_fast", writer.add_rope_scaling_yarn_beta_fast),
            ("beta_slow", writer.add_rope_scaling_yarn_beta_slow),
        ):
            if key in rope:
                add(rope[key])


def gpt2(writer: gguf.GGUFWriter, c: Any) -> None:
    common(writer, positions=c.n_positions, width=c.n_embd, hidden=4 * c.n_embd, layers=c.n_layer, heads=c.n_head)
    writer.add_layer_norm_eps(c.layer_norm_epsilon)


def bloom(writer: gguf.GGUFWriter, c: Any) -> None:
    common(writer, positions=2048, width=c.hidden_size, hidden=4 * c.hidden_size, layers=c.n_layer, heads=c.n_head)
    writer.add_head_count_kv(c.n_head)
    writer.add_layer_norm_eps(c.layer_norm_epsilon)


def bert(writer: gguf.GGUFWriter, c: Any) -> None:
    common(
        writer, positions=c.max_position_embeddings, width=c.hidden_size, hidden=c.intermediate_size,
        layers=c.num_hidden_layers, heads=c.num_attention_heads,
    )  # fmt: skip
    writer.add_layer_norm_eps(c.layer_norm_eps)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)


def t5(writer: gguf.GGUFWriter, c: Any) -> None:
    common(writer, positions=512, width=c.d_model, hidden=c.d_ff, layers=c.num_layers, heads=c.num_heads)
    writer.add_decoder_block_count(c.num_decoder_layers)
    writer.add_key_length(c.d_kv)
    writer.add_value_length(c.d_kv)
    writer.add_layer_norm_eps(c.layer_norm_epsilon)
    writer.add_relative_attn_buckets_count(c.relative_attention_num_buckets)
    writer.add_layer_norm_rms_eps(c.layer_norm_epsilon)
    writer.add_decoder_start_token_id(c.decoder_start_token_id)


SETTINGS = {"llama": llama, "qwen2": llama, "gpt2": gpt2, "bloom": bloom, "bert": bert, "t5": t5}
