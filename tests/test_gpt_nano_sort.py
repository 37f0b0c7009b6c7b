"""A trained three-layer GPT-2 shape reproduces the activations that its authors stored beside it, step by step.

The model sorts letters; it drives the llm-viz animation (MIT), where the same arrays are drawn.
"""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from clearhead.checkpoints.folder import open_folder
from clearhead.model.executor import TorchExecutor
from clearhead.trace import Trace

CONFIG = {
    "model_type": "gpt2",
    "vocab_size": 3,
    "n_embd": 48,
    "n_layer": 3,
    "n_head": 3,
    "n_positions": 11,
    "tie_word_embeddings": False,
}
FIRST = "decoder.layers.0."
PLACES = {
    "tok_emb": "decoder.embed.tokens",
    "x": "decoder.embed.output",
    "q": f"{FIRST}attention.query",
    "k": f"{FIRST}attention.key",
    "v": f"{FIRST}attention.value",
    "attSm": f"{FIRST}attention.weights",
    "yProj": f"{FIRST}attention.output",
    "gelu": f"{FIRST}mlp.hidden",
    "mlp": f"{FIRST}mlp.output",
    "block0": f"{FIRST}output",
    "block1": "decoder.layers.1.output",
    "block2": "decoder.layers.2.output",
    "ln_f": "decoder.output",
    "lm_head": "head.logits",
}


def arrays(path: Path) -> dict[str, np.ndarray]:
    """The base64 float32 arrays of one of its files."""
    stored: dict[str, Any] = json.loads(path.read_text())
    return {
        name: np.frombuffer(base64.b64decode(item["data"]), dtype="<f4").reshape(item["shape"])
        for name, item in stored.items()
        if name != "config"
    }


@pytest.fixture(scope="module")
def stored(data: Path) -> dict[str, np.ndarray]:
    return arrays(data / "tiny-weights" / "gpt-nano-sort-t0-partials.json")


@pytest.fixture(scope="module")
def model(data: Path, tmp_path_factory: pytest.TempPathFactory) -> TorchExecutor:
    folder = tmp_path_factory.mktemp("gpt-nano-sort")
    weights = arrays(data / "tiny-weights" / "gpt-nano-sort-model.json")
    projections = (".c_attn.weight", ".c_proj.weight", ".c_fc.weight")  # minGPT's Linear where GPT-2 has Conv1D
    tensors = {n: np.ascontiguousarray(a.T if n.endswith(projections) else a) for n, a in weights.items()}
    (folder / "config.json").write_text(json.dumps(CONFIG))
    save_file(tensors, folder / "model.safetensors")
    checkpoint = open_folder(folder)
    return TorchExecutor(checkpoint.config, checkpoint.weights(), "float32", "cpu")


@pytest.mark.parametrize("row", range(3))
def test_every_stored_activation_is_reproduced(model: TorchExecutor, stored: dict[str, np.ndarray], row: int) -> None:
    trace = Trace(model.config)
    model.decode([stored["idx"][row].astype(int).tolist()], want="all", trace=trace)
    for name, path in PLACES.items():
        np.testing.assert_allclose(trace[path], stored[name][row], rtol=0, atol=2e-5, err_msg=path)
    heads = trace[f"{FIRST}attention.heads"]  # [H, T, D], stored as [T, H * D]
    np.testing.assert_allclose(heads.swapaxes(0, 1).reshape(11, 48), stored["y"][row], rtol=0, atol=2e-5)


def test_it_sorts(model: TorchExecutor) -> None:
    """Six letters in, the same six in order out."""
    for letters in ([2, 1, 0, 1, 2, 0], [0, 0, 1, 1, 2, 2], [2, 2, 2, 0, 1, 0], [1, 0, 1, 0, 1, 0]):
        row = list(letters)
        for _ in range(6):
            row.append(int(model.decode([row[:11]])[0][-1].argmax()))
        assert row[6:] == sorted(letters)
