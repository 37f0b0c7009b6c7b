"""Traces on disk: saved, spilled, loaded; damaged and hostile files."""

import json
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors

import clearhead as ch
from clearhead.config import RotaryScaling
from clearhead.engine.model import Model
from clearhead.errors import OptionError
from clearhead.trace import Trace
from clearhead.trace.comparison import compare
from clearhead.trace.file import load
from models import BY_FAMILY, executor, native
from trace_runs import CONFIGS, same, seen, unable


@pytest.fixture(params=["gpt2", "t5", "bert", "some of gpt2"])
def trace(request: pytest.FixtureRequest, folders: dict[str, Path]) -> ch.Trace:
    name = request.param.split()[-1]
    model = ch.load(folders[f"{name}_folder"], executor="native", dtype="float32")
    if name == "bert":
        return model.trace("the teacher taught")
    chosen = {"layers": [1], "heads": [5, 0], "kinds": ["weights", "value"]} if "some" in request.param else {}
    return model.trace("The книга\n\x1b[1m", max_new_tokens=4, **chosen)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def check_loaded(loaded: Trace, trace: Trace) -> None:
    same(loaded, trace)
    for name in ("config", "model", "ids", "pieces", "texts", "special", "n_prompt"):
        assert getattr(loaded, name) == getattr(trace, name), name
    assert loaded.choice.heads == trace.choice.heads and loaded.attentions() == trace.attentions()
    assert compare(loaded, trace).equal and repr(loaded) == repr(trace)


def test_a_saved_trace_comes_back(trace: ch.Trace, tmp_path: Path) -> None:
    trace.save(tmp_path / "a.trace")
    assert names(tmp_path) == ["a.trace"]
    loaded = ch.Trace.load(tmp_path / "a.trace", model=trace.source)
    check_loaded(loaded, trace)
    assert loaded.source is trace.source
    loaded.save(tmp_path / "b.trace")
    check_loaded(load(tmp_path / "b.trace"), trace)
    with pytest.raises(OptionError, match=r"a\.trace exists; name a new file"):
        trace.save(tmp_path / "a.trace")
    check_loaded(load(tmp_path / "a.trace"), trace)


def test_long_spellings_are_saved(trace: ch.Trace, tmp_path: Path) -> None:
    for stack, ids in trace.ids.items():
        trace.pieces[stack], trace.texts[stack] = ["Ġ\n\x1b書" * 500] * len(ids), [" " * 2000] * len(ids)
    trace.save(tmp_path / "a.trace")
    check_loaded(load(tmp_path / "a.trace"), trace)
    with safetensors.safe_open(tmp_path / "a.trace", framework="numpy") as file:
        assert json.loads(file.metadata()["trace"])["pieces"] == trace.pieces


def test_any_safetensors_reader_reads_it(trace: ch.Trace, tmp_path: Path) -> None:
    trace.save(tmp_path / "a.safetensors")
    with safetensors.safe_open(tmp_path / "a.safetensors", framework="numpy") as file:
        assert set(file.keys()) == set(trace.paths)
        assert json.loads(file.metadata()["trace"])["n_prompt"] == trace.n_prompt
        for path in trace:
            assert np.array_equal(file.get_tensor(path), trace.arrays[path])


def test_configurations_with_tuples_and_scalings_come_back(tmp_path: Path) -> None:
    factors = RotaryScaling(kind="factors", factors=(1.0, 2.0), attention_factor=1.0)
    for i, config in enumerate((replace(BY_FAMILY["llama"], rotary_scaling=factors), CONFIGS["labels of tokens"])):
        one = seen(native(config))
        ch.Trace.save(one, tmp_path / str(i))
        assert load(tmp_path / str(i)).config == config


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["gpt2", "t5", "bert"])
def test_a_spilled_trace_is_the_same_and_a_file(
    name: str, dtype: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    model = ch.load(folders[f"{name}_folder"], executor="torch" if dtype == "float64" else "native", dtype=dtype)
    new = {"bert": 0}.get(name, 6)
    held, spilled = (
        model.trace("the teacher", max_new_tokens=new, spill=spill) for spill in (None, tmp_path / "a.trace")
    )
    assert all(isinstance(array, np.memmap) for array in spilled.arrays.values())
    assert all(array.dtype == dtype for array in held.arrays.values())
    assert held.paths == spilled.paths and held.tokens == spilled.tokens
    for path in held:
        assert np.array_equal(held[path], spilled[path]) and spilled[path].dtype == held[path].dtype, path
    check_loaded(load(tmp_path / "a.trace"), spilled)
    with safetensors.safe_open(tmp_path / "a.trace", framework="numpy") as file:
        assert set(file.keys()) == set(spilled.paths)
        for path in spilled:
            assert np.array_equal(file.get_tensor(path), spilled.arrays[path]), path


def test_a_float64_trace_is_saved_as_it_is(tmp_path: Path) -> None:
    trace = seen(executor(BY_FAMILY["llama"]))
    ch.Trace.save(trace, tmp_path / "a.trace")
    loaded = load(tmp_path / "a.trace")
    assert loaded["head.logits"].dtype == np.float64
    same(loaded, trace)


def test_a_spill_that_cannot_be_is_refused_before_the_model_runs(
    gpt2: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").write_text("mine")
    monkeypatch.setattr(gpt2.executor, "decode", unable)
    with pytest.raises(OptionError, match="there exists; name a new file, or remove it first"):
        gpt2.trace("abc", spill=tmp_path / "there")
    assert (tmp_path / "there").read_text() == "mine"
    with pytest.raises(OptionError, match="cannot be written"):
        gpt2.trace("abc", spill=tmp_path / "nowhere" / "a.trace")
    usage = shutil.disk_usage(tmp_path)._replace(free=10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(
        OptionError, match=r"a\.trace would take 0\.0 GB and the disk has 0\.0 GB free; narrow the trace"
    ):
        gpt2.trace("abc", spill=tmp_path / "a.trace")
    assert names(tmp_path) == ["there"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_a_run_that_fails_leaves_no_file(
    gpt2: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: type[BaseException]
) -> None:
    def failing(*arguments: Any, **options: Any) -> Any:
        assert (tmp_path / "a.trace").exists()
        raise failure

    monkeypatch.setattr(gpt2.executor, "decode", failing)
    with pytest.raises(failure):
        gpt2.trace("abc", spill=tmp_path / "a.trace")
    assert names(tmp_path) == []


def test_a_save_that_fails_leaves_no_file(trace: ch.Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "copyto", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trace.save(tmp_path / "a.trace")
    monkeypatch.undo()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 0))
    with pytest.raises(OptionError, match="would take"):
        trace.save(tmp_path / "a.trace")
    assert names(tmp_path) == []


@pytest.fixture(scope="module")
def saved(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "a.trace"
    model = ch.load(folders["gpt2_folder"], executor="native", dtype="float32")
    model.trace("The book", max_new_tokens=3).save(path)
    return path.read_bytes()


def refused(data: bytes, path: Path) -> str:
    """What is said of a file that is no trace: one OptionError, in one line, naming it."""
    path.write_bytes(data)
    with pytest.raises(OptionError) as error:
        load(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


def test_a_file_cut_short_anywhere_is_refused(saved: bytes, tmp_path: Path) -> None:
    length = struct.unpack("<Q", saved[:8])[0]
    cuts = {*range(12), *range(12, len(saved), 997), 7 + length, 8 + length, 9 + length, len(saved) - 4, len(saved) - 1}
    for cut in sorted(cuts):
        refused(saved[:cut], tmp_path / "cut")
    refused(saved + b"\0" * 4, tmp_path / "long")
    (tmp_path / "whole").write_bytes(saved)
    assert len(load(tmp_path / "whole").paths) == 26


WEIGHTS, INPUT = "decoder.layers.0.attention.weights", "decoder.layers.0.input"
HOSTILE: dict[str, Callable[[dict[str, Any], dict[str, Any]], Any]] = {
    "another shape": lambda h, a: h[WEIGHTS].update(shape=[6, 121, 1]),
    "a negative size": lambda h, a: h[INPUT].update(shape=[-11, -24]),
    "no shape": lambda h, a: h[WEIGHTS].pop("shape"),
    "half precision": lambda h, a: h[WEIGHTS].update(dtype="F16"),
    "another type of the same name": lambda h, a: h[WEIGHTS].update(dtype="F64"),
    "a list for a type": lambda h, a: h[WEIGHTS].update(dtype=["F32"]),
    "a number for an array": lambda h, a: h.update({WEIGHTS: 7}),
    "an array of no model": lambda h, a: h.update({"decoder.layers.9.input": h[INPUT]}),
    "one array over another": lambda h, a: h[INPUT].update(data_offsets=h["decoder.layers.0.output"]["data_offsets"]),
    "offsets before the data": lambda h, a: h[INPUT].update(data_offsets=[-1056, 0]),
    "offsets beyond the file": lambda h, a: h[INPUT].update(data_offsets=[10**12, 10**12 + 1056]),
    "offsets beyond all numbers": lambda h, a: h[INPUT].update(data_offsets=[10**40, 10**40 + 1056]),
    "offsets backwards": lambda h, a: h[INPUT]["data_offsets"].reverse(),
    "offsets in fractions": lambda h, a: h[INPUT].update(data_offsets=[0.5, 1056.5]),
    "one offset": lambda h, a: h[INPUT].update(data_offsets=[0]),
    "a gap": lambda h, a: h.pop(INPUT),
    "no metadata": lambda h, a: h.pop("__metadata__"),
    "no trace in it": lambda h, a: h["__metadata__"].pop("trace"),
    "metadata that is a list": lambda h, a: h.update(__metadata__=[1]),
    "another format": lambda h, a: h["__metadata__"].update(format="clearhead-trace/2"),
    "no format": lambda h, a: h["__metadata__"].pop("format"),
    "text that is no JSON": lambda h, a: h["__metadata__"].update(trace="{'config'"),
    "text that is a number": lambda h, a: h["__metadata__"].update(trace="7"),
    "brackets without end": lambda h, a: h["__metadata__"].update(trace="[" * 200_000),
    "a configuration of no model": lambda h, a: a["config"].update(n_heads=7),
    "a field that is none": lambda h, a: a["config"].update(weather="fine"),
    "a size below zero": lambda h, a: a["config"].update(d_model=-1),
    "too few fields": lambda h, a: a["config"].pop("d_ff"),
    "no configuration": lambda h, a: a.update(config=None),
    "a scaling that is none": lambda h, a: a["config"].update(rotary_scaling={"kind": "odd"}),
    "a head too many": lambda h, a: a.update(heads=[0, 6]),
    "heads by a number": lambda h, a: a.update(heads=6),
    "no spans": lambda h, a: a.pop("spans"),
    "more than was read": lambda h, a: a["spans"]["decoder"].__setitem__(2, 10**9),
    "less than nothing": lambda h, a: a["spans"]["decoder"].__setitem__(2, -1),
    "a start before the start": lambda h, a: a["spans"]["decoder"].__setitem__(0, -1),
    "a length in words": lambda h, a: a["spans"].update(decoder=["0", "11", "11", "0"]),
    "a stack that is none": lambda h, a: a["spans"].update(tower=[0, 1, 1, 0]),
    "no decoder": lambda h, a: a["spans"].pop("decoder"),
    "ids that are texts": lambda h, a: a["ids"].update(decoder=["x"] * 11),
    "ids that are no lists": lambda h, a: a.update(ids=7),
    "fewer texts than ids": lambda h, a: a["texts"].update(decoder=["x"]),
    "pieces of nothing": lambda h, a: a["pieces"].update(tower=[]),
    "marks that are numbers": lambda h, a: a["special"].update(decoder=[0] * 11),
    "a prompt beyond the text": lambda h, a: a.update(n_prompt=12),
    "a prompt in words": lambda h, a: a.update(n_prompt="all"),
    "a name that is a list": lambda h, a: a.update(model=["gpt2"]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_header_that_lies_is_refused(name: str, saved: bytes, tmp_path: Path) -> None:
    length = struct.unpack("<Q", saved[:8])[0]
    header = json.loads(saved[8 : 8 + length])
    about = json.loads(header["__metadata__"]["trace"])
    before = json.dumps(about)
    HOSTILE[name](header, about)
    if json.dumps(about) != before:
        header["__metadata__"]["trace"] = json.dumps(about)
    text = json.dumps(header).encode()
    refused(struct.pack("<Q", len(text)) + text + saved[8 + length :], tmp_path / "a.trace")


@pytest.mark.parametrize(
    "head",
    [
        struct.pack("<Q", 2**63),
        struct.pack("<Q", 2**64 - 8),
        struct.pack("<Q", 1 << 31),
        struct.pack("<Q", 0),
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 4) + b"[12]",
        struct.pack("<Q", 4) + b"null",
        struct.pack("<Q", 4) + b"\xff\xfe\x00\x80",
        struct.pack("<Q", 9) + b'"\\ud800"}',
        struct.pack("<Q", 200_000) + b"[" * 200_000,
        struct.pack("<Q", 200_000) + b'{"a":' * 40_000,
    ],
    ids=range(11),
)
def test_bytes_that_are_no_header_are_refused(head: bytes, tmp_path: Path) -> None:
    assert "is no trace, or a damaged one" in refused(head + b"\0" * 4096, tmp_path / "a.trace")


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(OptionError, match="cannot be read"):
            load(path)
