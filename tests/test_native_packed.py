"""Packed weights: what formats keep, and the file they are kept in, which is never trusted and never half-written."""

import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind

import tiny
from clearhead.checkpoints.opening import open_checkpoint
from clearhead.checkpoints.stored import Blocks
from clearhead.errors import CheckpointError, OptionError
from clearhead.native import _native, store
from clearhead.native.packed_file import PRELUDE, damaged, read_packed, write_packed
from clearhead.native.packing import BLOCKS, Format, aligned, pack_matrix, pack_weights, packable
from clearhead.native.store import drop_damaged, open_packed
from models import BY_FAMILY, random_weights

RANDOM = np.random.default_rng(3)
EXACT = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]


def unpacked(form: Format, rows: int, columns: int, data: np.ndarray) -> np.ndarray:
    """The floats a packed matrix stands for."""
    result = np.empty((rows, -(-columns // 64) * 64), np.float32)
    for row in range(rows):
        _native.unpack(form.name, form.minima, rows, columns, form.group, data, row, result[row])
    return result[:, :columns]


def through(form: Format, value: np.ndarray | Blocks) -> np.ndarray:
    """A matrix packed and read back."""
    data = aligned(form.bytes(value.shape))
    pack_matrix("w", value, form, data)
    return unpacked(form, *value.shape, data)


@pytest.mark.parametrize("kind", [*EXACT, "Q4_K", "Q5_K", "Q6_K"])
def test_blocks_of_gguf_are_repacked(kind: str) -> None:
    rows, columns = 37, 512
    if kind in EXACT:
        raw = gguf.quants.quantize(RANDOM.normal(size=(rows, columns)).astype(np.float32), Kind[kind])
    else:  # which gguf only reads: bytes at random, with scales that are numbers
        size = gguf.GGML_QUANT_SIZES[Kind[kind]][1]
        raw = RANDOM.integers(0, 256, size=(rows, columns // 256, size), dtype=np.uint8)
        scales = RANDOM.uniform(0.001, 0.01, size=(rows, columns // 256, 2)).astype(np.float16).view(np.uint8)
        at = slice(0, 4) if kind != "Q6_K" else slice(208, 210)
        raw[:, :, at] = scales[:, :, : at.stop - at.start]
        raw = raw.reshape(rows, -1)
    expected = gguf.quants.dequantize(raw, Kind[kind])
    ours = through(Format(*BLOCKS[kind]), Blocks(kind, (rows, columns), raw))
    if kind in EXACT:
        assert np.array_equal(ours, expected)
    else:  # scales rounded to float16; the groups of Q6_K quantised again
        bound = 1 / 127 if kind == "Q6_K" else 2**-10
        peak = np.abs(expected).reshape(rows, -1, 32).max(-1).repeat(32, axis=1)
        assert (np.abs(ours - expected) <= bound * peak + 1e-6).all()


def test_rows_of_integers_with_one_scale_stay_what_they_are() -> None:
    codes = RANDOM.integers(-127, 128, size=(19, 64), dtype=np.int8)
    scales = RANDOM.uniform(0.01, 0.1, size=19).astype(np.float16).astype(np.float32)
    raw = np.concatenate([codes.view(np.uint8), scales[:, None].view(np.uint8)], axis=1)
    ours = through(Format("int8", group=64), Blocks("int8", (19, 64), raw))
    assert np.array_equal(ours, codes * scales[:, None])


@pytest.mark.parametrize("shape", [(1, 1), (16, 32), (17, 33), (40, 20), (50, 192)])
@pytest.mark.parametrize(
    ("form", "bound"),
    [
        (Format("float32"), 0.0),
        (Format("bfloat16"), 0.003),
        (Format("int8"), 0.007),
        (Format("int8", group=64), 0.008),
        (Format("int4"), 0.1),
        (Format("int4", minima=True), 0.1),
    ],
)
def test_floats_keep_what_a_format_can_hold(form: Format, bound: float, shape: tuple[int, int]) -> None:
    value = RANDOM.normal(size=shape).astype(np.float32)
    ours = through(form, value)
    assert np.square(ours - value).sum() <= bound**2 * np.square(value).sum()


def test_what_no_number_stands_for_is_refused() -> None:
    value = np.ones((16, 64), np.float32)
    value[3, 4] = np.nan
    with pytest.raises(CheckpointError, match="w cannot be packed as int8: a weight is not finite"):
        through(Format("int8"), value)


def test_which_blocks_are_kept() -> None:
    assert packable("auto", "Q4_1") and not packable("auto", "Q2_K") and not packable("int8", "Q8_0")
    with pytest.raises(OptionError, match="choose from auto, float32, bfloat16, int8, int4"):
        pack_weights(BY_FAMILY["llama"], [], "float16")


def test_encoders_have_wider_groups_than_other_models() -> None:
    """So far as they divide a row."""
    for family, widest in (("bert", 128), ("llama", 64), ("t5", 64)):
        for columns, group in ((384, widest), (192, 64), (96, 32)):
            matrix = np.zeros((16, columns), np.float32)
            assert pack_weights(BY_FAMILY[family], [("w", matrix)], "int8").matrices["w"].format.group == group


# The file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A packed file of a small model."""
    with (tmp_path / "model.packed").open("wb") as file:
        write_packed(file, BY_FAMILY["llama"], random_weights(BY_FAMILY["llama"]), "int8", {"files": []})
    return tmp_path / "model.packed"


def test_a_file_gives_back_what_went_in(path: Path) -> None:
    packed, made_from = read_packed(path, BY_FAMILY["llama"])
    expected = pack_weights(BY_FAMILY["llama"], random_weights(BY_FAMILY["llama"]), "int8")
    assert made_from == {"files": []} and not damaged(path)
    assert packed.matrices.keys() == expected.matrices.keys() and packed.arrays.keys() == expected.arrays.keys()
    for name, matrix in packed.matrices.items():
        assert matrix.format == expected.matrices[name].format
        assert np.array_equal(matrix.data, expected.matrices[name].data)
        assert matrix.data.ctypes.data % 64 == 0 and not matrix.data.flags.writeable
    assert packed.dtype == "int8" and packed.size == expected.size


def edited(path: Path, change: dict[str, object]) -> None:
    """Rewrite the table with the first matrix's entry changed."""
    data = path.read_bytes()
    magic, version, start, length, _ = PRELUDE.unpack(data[: PRELUDE.size])
    table = json.loads(data[start : start + length])
    next(e for e in table["weights"] if "format" in e).update(change)
    text = json.dumps(table).encode()
    head = PRELUDE.pack(magic, version, start, len(text), zlib.crc32(text))
    path.write_bytes(head + data[PRELUDE.size : start] + text)


@pytest.mark.parametrize(
    "change",
    [
        {"start": 2**40},
        {"start": -64},
        {"start": 65},
        {"start": "0"},
        {"bytes": 2**62},
        {"bytes": 0},
        {"bytes": 64},
        {"shape": [2**31, 2**31]},
        {"format": "int2"},
        {"group": 0},
        {"group": -32},
        {"minima": 7},
        {"name": "no.such.weight"},
    ],
    ids=str,
)
def test_a_table_that_lies_is_refused(path: Path, change: dict[str, object]) -> None:
    edited(path, change)
    with pytest.raises(CheckpointError, match="packed weights"):
        read_packed(path, BY_FAMILY["llama"])


def test_damage_of_every_kind_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    cases = [b"", whole[:40], whole[:-1], whole + b"x", b"x" + whole[1:], whole[:-5] + b"xxxxx"]
    cases.append(whole[:16] + struct.pack("<I", 999) + whole[20:])
    for case in cases:
        path.write_bytes(case)
        with pytest.raises(CheckpointError, match=r"model\.packed"):
            read_packed(path, BY_FAMILY["llama"])
    path.write_bytes(whole)
    with pytest.raises(CheckpointError, match="of another model"):
        read_packed(path, BY_FAMILY["gpt2"])
    path.write_bytes(whole[:100] + b"\xff\xfe" + whole[102:])
    assert len(damaged(path)) == 1  # found when asked for; a start does not read all of a model


# Where it is kept


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small model of which packed files are kept, for once."""
    monkeypatch.setattr(store, "WORTH_KEEPING", 0)
    monkeypatch.setenv("CLEARHEAD_CACHE", str(tmp_path / "cache"))
    return tiny.gpt2_folder(tmp_path / "model")


def packed_files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.parent.name in (".clearhead", "packed"))


def test_a_file_is_made_once_and_again_when_the_model_changes(folder: Path) -> None:
    open_packed(open_checkpoint(folder), "int8")
    assert packed_files(folder) == ["model.int8.packed"]
    [file] = folder.rglob("*.packed")
    made = file.stat().st_mtime_ns
    open_packed(open_checkpoint(folder), "int8")
    assert file.stat().st_mtime_ns == made
    weights = folder / "model.safetensors"
    os.utime(weights, ns=(1, 1))
    open_packed(open_checkpoint(folder), "int8")
    assert file.stat().st_mtime_ns > made
    file.write_bytes(file.read_bytes()[:-10])
    assert open_packed(open_checkpoint(folder), "int8").dtype == "int8" and not damaged(file)


def test_nothing_is_left_of_a_packing_that_failed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise CheckpointError("no")

    monkeypatch.setattr("clearhead.native.packed_file.pack_matrix", fails)
    with pytest.raises(CheckpointError, match="no"):
        open_packed(open_checkpoint(folder), "int8")
    assert not (folder / ".clearhead").exists()


def test_what_cannot_be_written_goes_elsewhere(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    beside = folder / ".clearhead"
    beside.write_text("a file where the folder would be")
    open_packed(open_checkpoint(folder), "int4")
    [name] = packed_files(tmp_path / "cache")
    assert name.startswith("model-") and name.endswith(".int4.packed")
    (tmp_path / "cache" / "packed").rename(tmp_path / "elsewhere")
    (tmp_path / "cache" / "packed").write_text("and here")
    open_packed(open_checkpoint(folder), "int4")
    assert "held in memory" in caplog.text


def test_nothing_is_put_beside_a_model_that_is_part_of_the_package(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PACKAGE", tmp_path)
    open_packed(open_checkpoint(folder), "int8")
    assert not (folder / ".clearhead").exists() and len(packed_files(tmp_path / "cache")) == 1


TWO = """
import sys
from clearhead.checkpoints.opening import open_checkpoint
from clearhead.native import store
from pathlib import Path
store.WORTH_KEEPING = 0
print(store.open_packed(open_checkpoint(Path(sys.argv[1])), "int8").size)
"""


def test_two_processes_at_once_make_one_file(folder: Path) -> None:
    both = [
        subprocess.Popen([sys.executable, "-c", TWO, str(folder)], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    sizes = {process.communicate()[0] for process in both}
    assert len(sizes) == 1 and all(process.returncode == 0 for process in both)
    assert packed_files(folder) == ["model.int8.packed"] and not damaged(next(folder.rglob("*.packed")))


def test_small_models_leave_nothing_behind(tmp_path: Path) -> None:
    folder = tiny.gpt2_folder(tmp_path / "model")
    open_packed(open_checkpoint(folder))
    assert not (folder / ".clearhead").exists()


def test_damage_is_found_by_who_asks_and_mended_at_the_next_start(folder: Path) -> None:
    before = open_packed(open_checkpoint(folder), "int8")
    assert before.file is not None and drop_damaged(before.file) == []
    whole = before.file.read_bytes()
    with before.file.open("r+b") as file:
        file.seek(len(whole) // 2)
        file.write(bytes(64) if whole[len(whole) // 2 :][:64] != bytes(64) else b"x" * 64)
    assert len(drop_damaged(before.file)) == 1 and not before.file.exists()
    after = open_packed(open_checkpoint(folder), "int8")
    assert after.file == before.file and after.file.read_bytes() == whole
