"""Loading takes at most 1.2 times the memory of the weights in the type asked for, whatever type the file has."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gguf
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from real import find, skip_unless_large

LIMIT = 1.2
C, F, V, L = 768, 2048, 16_384, 8  # 69 M weights: 277 MB in float32, against which 3 MB of this and that are nothing
CONFIG = {
    "model_type": "llama",
    "hidden_size": C,
    "intermediate_size": F,
    "vocab_size": V,
    "num_hidden_layers": L,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}
GGUF_NAMES = {
    "embed_tokens": "token_embd",
    "norm": "output_norm",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}


def shapes() -> dict[str, tuple[int, ...]]:
    """A LLaMA's tensors under transformers' names, the embedding last: the worst place for the largest one."""
    attention = {f"self_attn.{letter}_proj": (C, C) for letter in "qkvo"}
    mlp = {"mlp.gate_proj": (F, C), "mlp.up_proj": (F, C), "mlp.down_proj": (C, F)}
    layer = {"input_layernorm": (C,), **attention, "post_attention_layernorm": (C,), **mlp}
    layers = {f"model.layers.{i}.{name}.weight": shape for i in range(L) for name, shape in layer.items()}
    return {**layers, "model.norm.weight": (C,), "model.embed_tokens.weight": (V, C)}


def safetensors_folder(folder: Path, dtype: type) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    numbers = np.random.default_rng(0).standard_normal(C * F, dtype=np.float32).astype(dtype)
    tensors = {name: np.resize(numbers, shape) for name, shape in shapes().items()}
    save_file(tensors, folder / "model.safetensors")
    return folder


def gguf_file(path: Path) -> Path:
    """The same in Q8_0, norms in float32."""
    q8 = gguf.GGMLQuantizationType.Q8_0
    numbers = np.random.default_rng(0).standard_normal((64, C), dtype=np.float32)
    rows = gguf.quants.quantize(numbers, q8)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(512)
    writer.add_embedding_length(C)
    writer.add_feed_forward_length(F)
    writer.add_block_count(L)
    writer.add_head_count(12)
    writer.add_layer_norm_rms_eps(1e-5)
    for name, shape in shapes().items():
        parts = name.split(".")
        block = f"blk.{parts[2]}." if parts[1] == "layers" else ""
        tensor = f"{block}{GGUF_NAMES[parts[-2]]}.weight"
        if len(shape) == 1:
            writer.add_tensor(tensor, np.ones(shape, dtype=np.float32))
        else:
            data = np.resize(rows, (shape[0] * shape[1] // C, rows.shape[1])).reshape(shape[0], -1)
            writer.add_tensor(tensor, data, raw_dtype=q8)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def peak(path: Path, dtype: str) -> float:
    """Growth of a fresh process over the weights' own size, at its greatest."""
    if not sys.platform.startswith("linux"):
        pytest.skip("peaks are read from /proc, which only Linux has")
    program = Path(__file__).with_name("peak_of_loading.py")
    command = [sys.executable, str(program), str(path), dtype]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    return figures["peak"] / figures["weights"]


@pytest.mark.parametrize(
    ("stored", "dtype"),
    [(np.float32, "float32"), (ml_dtypes.bfloat16, "bfloat16"), (np.float16, "float32"), (np.float32, "bfloat16")],
)
def test_a_folder(tmp_path: Path, stored: type, dtype: str) -> None:
    ratio = peak(safetensors_folder(tmp_path / "model", stored), dtype)
    assert 0.95 < ratio <= LIMIT


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_quantised_gguf_file(tmp_path: Path, dtype: str) -> None:
    assert 0.95 < peak(gguf_file(tmp_path / "model.gguf"), dtype) <= LIMIT


@pytest.mark.weights
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_smollm2(dtype: str) -> None:
    assert 0.95 < peak(find("smollm2-135m-instruct"), dtype) <= LIMIT


@pytest.mark.weights
def test_qwen_coder_in_bfloat16() -> None:
    skip_unless_large()
    assert 0.95 < peak(find("qwen2.5-coder-1.5b-instruct"), "bfloat16") <= LIMIT
