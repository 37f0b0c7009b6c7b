"""Qwen2.5-Coder-1.5B-Instruct from its Q4_K_M GGUF file writes code, as llama.cpp does with the same file.

1.8 billion numbers with the separate head: 3.6 GB in bfloat16, in which Clearhead holds them here. In float32, on the
prompt below, the logits were within 1.1e-5 of those of transformers 5.23 (2026-11; together they need 9 GB).
"""

import ast
import gc
from pathlib import Path

import numpy as np
import pytest
import torch

import clearhead as ch
import oracles  # noqa: F401  keeps transformers offline and on one thread
from clearhead.engine.model import Model
from real import find, skip_unless_large

pytestmark = pytest.mark.weights
REQUEST = "Write a Python function is_prime(n)."
CODE = "def fibonacci(n):\n    if n < 2:\n        return n\n"


@pytest.fixture(scope="module")
def path() -> Path:
    skip_unless_large()
    return find("qwen2.5-coder-1.5b-instruct")


@pytest.fixture(scope="module")
def wanted(path: Path) -> tuple[list[int], np.ndarray]:
    """transformers' ids of CODE and its logits [T, V]; the model itself is gone before ours is loaded."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    ids = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name).encode(CODE)
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.bfloat16).eval()
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0].float().numpy()
    del model
    gc.collect()
    return ids, logits


@pytest.fixture(scope="module")
def model(path: Path, wanted: object) -> Model:
    return ch.load(path, dtype="bfloat16")


def test_logits_equal_those_of_transformers_but_for_rounding(
    model: Model, wanted: tuple[list[int], np.ndarray]
) -> None:
    ids, logits = wanted
    mine = model.logits(ids)
    assert model.tokenizer.encode(CODE) == ids
    assert (mine.argmax(axis=1) == logits.argmax(axis=1)).all()
    for ours, theirs in zip(mine, logits, strict=True):
        assert np.corrcoef(ours, theirs)[0, 1] > 0.998


def test_it_writes_a_function(model: Model, path: Path) -> None:
    done = model.complete(REQUEST, max_new_tokens=240)
    code = done.new_text.split("```python\n")[1].split("```")[0]
    [function] = [node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)]
    assert function.name == "is_prime" and [argument.arg for argument in function.args.args] == ["n"]
    assert any(isinstance(node, ast.Return) for node in ast.walk(function))
    engine = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    llama = engine.Llama(model_path=str(path), n_ctx=512, verbose=False)
    said = llama.create_chat_completion(messages=[{"role": "user", "content": REQUEST}], temperature=0, max_tokens=64)
    assert done.new_text.startswith(said["choices"][0]["message"]["content"])
