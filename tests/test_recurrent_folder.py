"""A recurrent model's folder: written whole, read with every weight exactly once, and used like any other model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import clearhead as ch
from clearhead.checkpoints.opening import open_checkpoint
from clearhead.config import SpecialTokens
from clearhead.engine import recurrent as engine
from clearhead.engine.verification import verify
from clearhead.errors import CheckpointError, ConfigError, MissingDependencyError, OptionError, UnsupportedError
from clearhead.recurrent.config import RecurrentConfig
from clearhead.recurrent.executor import RecurrentExecutor
from clearhead.recurrent.folder import open_recurrent, save_recurrent
from clearhead.recurrent.initial import new_model
from clearhead.recurrent.loading import weights_of
from clearhead.text.fast import FastTokenizer
from recurrent_models import CONFIGS, SOURCES, executor
from terminal import fails, invoke
from tiny import VOCAB_SIZE, byte_level

SIZE: dict[str, Any] = {"vocab_size": VOCAB_SIZE, "d_embedding": 16, "d_hidden": 24, "n_decoder_layers": 2}
SPECIAL = SpecialTokens(bos=256, eos=(257,), pad=258, decoder_start=256)


def write(folder: Path, **changes: Any) -> Path:
    """A folder with a real tokenizer."""
    config = RecurrentConfig(**SIZE | {"max_positions": 128} | changes)
    weights = ((name, 3 * array) for name, array in weights_of(new_model(config, seed=1)))
    save_recurrent(folder, config, weights, special=SPECIAL, tokenizer=FastTokenizer(byte_level()))
    return folder


@pytest.mark.parametrize("name", CONFIGS)
def test_a_folder_gives_back_what_was_saved(name: str, tmp_path: Path) -> None:
    model = executor(CONFIGS[name], "float32")
    special = SpecialTokens(bos=1, eos=(2, 3), pad=0, decoder_start=4, suppressed=(0,))
    save_recurrent(tmp_path / "model", model.config, weights_of(model.model), special=special)
    opened = open_recurrent(tmp_path / "model")
    assert (opened.config, opened.special, opened.tokenizer) == (model.config, special, None)
    again = RecurrentExecutor(opened.config, opened.weights(), "float32", "cpu")
    memory = [model.encode(SOURCES), again.encode(SOURCES)] if model.config.n_encoder_layers else [None, None]
    rows = [[3, 1, 4], [1, 5], [9]]
    for a, b in zip(model.decode(rows, memory=memory[0]), again.decode(rows, memory=memory[1]), strict=True):
        assert np.allclose(a, b, rtol=0, atol=1e-5)  # the same numbers elsewhere in memory are summed in another order
    kept = dict(opened.weights())
    assert all(np.array_equal(kept.pop(name), weight) for name, weight in weights_of(model.model)) and not kept
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == ["config.json", "model.safetensors"]


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    kept = {k: v for k, v in (json.loads(path.read_text()) | changes).items() if v != "gone"}
    path.write_text(json.dumps(kept))


def edit_tensors(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


WRONG_SHAPE = np.zeros((2, 2), np.float32)
DAMAGE: dict[str, tuple[Callable[[Path], None], type[Exception], str]] = {
    "missing": (
        lambda f: edit_tensors(f, lambda t: t.pop("decoder.layers.1.bias_hh_l0")),
        CheckpointError,
        "missing tensor decoder.layers.1.bias_hh_l0; the file is incomplete",
    ),
    "unknown": (lambda f: edit_tensors(f, lambda t: t.update(stray=WRONG_SHAPE)), CheckpointError, "tensor stray"),
    "shape": (
        lambda f: edit_tensors(f, lambda t: t.update({"head.projection.weight": WRONG_SHAPE})),
        CheckpointError,
        r"head.projection.weight has the shape \[2, 2\]; its configuration calls for \[16, 24\]",
    ),
    "integers": (
        lambda f: edit_tensors(f, lambda t: t.update({"head.bias": np.zeros(VOCAB_SIZE, np.int64)})),
        CheckpointError,
        "head.bias is stored as I64",
    ),
    "truncated": (cut_short, CheckpointError, "damaged or incomplete"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), CheckpointError, "there is no model.safetensors"),
    "no size": (lambda f: edit_config(f, d_hidden="gone"), ConfigError, "d_hidden is missing"),
    "odd size": (lambda f: edit_config(f, d_hidden="12"), ConfigError, "d_hidden is '12'"),
    "huge": (lambda f: edit_config(f, d_hidden=2**31 - 1), CheckpointError, "its configuration calls for"),
    "no choice": (lambda f: edit_config(f, cell="elman"), ConfigError, "cell is 'elman'"),
    "no switch": (lambda f: edit_config(f, tied=3), ConfigError, "tied is 3; it must be true or false"),
    "no json": (lambda f: (f / "config.json").write_text("{") and None, CheckpointError, "cannot be read"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_folder_says_what_is_wrong(kind: str, tmp_path: Path) -> None:
    damage, error, message = DAMAGE[kind]
    damage(write(tmp_path / "model"))
    with pytest.raises(error, match=message):
        ch.load(tmp_path / "model")


def test_nothing_is_written_over_or_by_halves(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    config = open_recurrent(folder).config
    with pytest.raises(CheckpointError, match="exists and is not empty"):
        save_recurrent(folder, config, ())
    weights = dict(weights_of(new_model(config, 0)))
    del weights["embed.weight"]
    with pytest.raises(CheckpointError, match=r"missing tensor embed.weight"):
        save_recurrent(tmp_path / "other", config, weights.items())
    with pytest.raises(OptionError, match="dtype 'int8' cannot be saved"):
        save_recurrent(tmp_path / "other", config, weights.items(), dtype="int8")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_language_model_is_used_like_any_other(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    model = ch.load(folder)
    done = model.complete("A cat", max_new_tokens=12, ignore_eos=True)
    assert done.text.startswith("A cat") and len(done.tokens) == 12 and done.usage.prompt_tokens == 5
    stream = model.stream("A cat", max_new_tokens=12, ignore_eos=True)
    assert "".join(stream) == done.new_text
    assert model.complete("A cat", max_new_tokens=6, beams=3).finish_reason in ("length", "stop")
    assert model.logits([1, 2, 3]).shape == (3, VOCAB_SIZE)
    assert repr(model) == f"<{folder}: lstm decoder, {sum(w.size for _, w in model.checkpoint.weights()):,} " + (
        "parameters, torch>"
    )
    assert ch.load_tokenizer(folder).encode("A cat") == model.tokenizer.encode("A cat")


def test_an_encoder_and_decoder_are_used_like_any_other(tmp_path: Path) -> None:
    model = ch.load(write(tmp_path / "model", n_encoder_layers=1, cell="gru", attention="additive"), dtype="float64")
    done = model.complete("A cat", max_new_tokens=5, beams=2, ignore_eos=True)
    assert len(done.tokens) == 5
    assert model.logits([1, 2, 3], [256, 4]).shape == (2, VOCAB_SIZE)


@pytest.mark.parametrize("changes", [{}, {"n_encoder_layers": 2, "input_feeding": True}])
def test_it_keeps_the_numerical_contract(changes: dict[str, Any], tmp_path: Path) -> None:
    checks = list(verify(ch.load(write(tmp_path / "model", **changes))))
    assert [check.name for check in checks if not check.passed] == []
    skipped = {check.name for check in checks if check.skipped}
    traces = {"traced = untraced", "attention sums to 1"} | ({"encoder traced = untraced"} if changes else set())
    assert skipped == traces
    assert {"cached = full", "batched = single", "one beam = greedy"} <= {check.name for check in checks}


def test_saved_again_it_is_the_same(tmp_path: Path) -> None:
    model = ch.load(write(tmp_path / "model"))
    model.save(tmp_path / "again")
    again = ch.load(tmp_path / "again")
    assert np.array_equal(model.logits([5, 6, 7]), again.logits([5, 6, 7]))
    assert again.special == model.special
    assert again.tokenizer.encode("one") == model.tokenizer.encode("one")
    model.save(tmp_path / "half", dtype="bfloat16")
    half = ch.load(tmp_path / "half")
    assert np.allclose(model.logits([5, 6, 7]), half.logits([5, 6, 7]), atol=0.2)
    assert (tmp_path / "half/model.safetensors").stat().st_size < 0.6 * (
        (tmp_path / "again/model.safetensors").stat().st_size
    )


def test_what_it_cannot_do_is_said_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "model")
    model = ch.load(folder)
    with pytest.raises(UnsupportedError, match="family is 'rnn'; only a Transformer can be traced"):
        model.trace("A cat")
    with pytest.raises(UnsupportedError, match="the lens looks into Transformers"):
        _ = model.lens
    with pytest.raises(UnsupportedError, match="model is a recurrent model"):
        open_checkpoint(folder)
    with pytest.raises(OptionError, match="the native executor computes Transformers"):
        ch.load(folder, executor="native")
    with pytest.raises(OptionError, match="int8"):
        ch.load(folder, dtype="int8")
    monkeypatch.setattr(engine, "find_spec", lambda _name: None)
    with pytest.raises(MissingDependencyError, match=r"needs torch; install it with: pip install 'clearhead\[train\]'"):
        ch.load(folder)


def test_the_command_line(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    done = invoke("complete", "A cat", "--model", folder, "--max-new-tokens", 4, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["text"].startswith("A cat")
    assert "only a Transformer can be traced" in fails("trace", "A cat", "--model", folder)
    assert "only a Transformer can be traced" in fails("neighbours", "A", "B", "--model", folder, "--layer", 0)
    assert "is a recurrent model" in fails("inspect", folder)
    assert "the native executor computes Transformers" in fails("complete", "A", "--model", folder, "--executor=native")
