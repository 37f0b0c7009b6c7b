"""A folder in int8: numbers are off by half of their row's scale at most, executors agree on it, damage is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors.numpy import load_file, save_file

import clearhead as ch
from clearhead.checkpoints.export import export
from clearhead.checkpoints.folder import open_folder
from clearhead.checkpoints.int8 import SCALE, numbers, quantised, scales_in
from clearhead.config import SpecialTokens
from clearhead.errors import CheckpointError, OptionError
from clearhead.families.layout import is_matrix, layout
from clearhead.native.packing import pack_weights, unpack_rows
from clearhead.native.store import values
from models import BY_FAMILY, random_weights
from terminal import fails, invoke
from test_parity import relaxed

SPECIAL = SpecialTokens(eos=(1,), pad=0, decoder_start=0)
Tensors = dict[str, np.ndarray]


def write(folder: Path, family: str = "transformer", dtype: str = "int8") -> Path:
    """A small model with random weights."""
    export(folder, BY_FAMILY[family], random_weights(BY_FAMILY[family]), dtype=dtype, special=SPECIAL)
    return folder


def read(folder: Path) -> Tensors:
    return dict(open_folder(folder).weights())


def edit(folder: Path, change: Callable[[Tensors], Any]) -> None:
    tensors = {name: array.copy() for name, array in load_file(folder / "model.safetensors").items()}
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


FINITE = st.floats(-(2.0**22), 2.0**22, width=32) | st.floats(-(2.0**-20), 2.0**-20, width=32) | st.just(0.0)


@relaxed
@given(arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=FINITE))
def test_a_number_is_off_by_half_a_scale_at_most(array: np.ndarray) -> None:
    rows = quantised("w", array)
    scales = scales_in(rows).astype(np.float64)
    assert rows.shape == (array.shape[0], array.shape[1] + SCALE)
    assert (scales > 0).all() and (scales == scales.astype(np.float16)).all()
    off = np.abs(numbers(lambda: rows).astype(np.float64) - array)
    assert (off <= scales[:, None] * 0.5000002).all()  # a product in float32 rounds once


def test_a_row_of_zeros_is_a_row_of_zeros() -> None:
    assert (numbers(lambda: quantised("w", np.zeros((3, 5), np.float32))) == 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e9])
def test_what_int8_cannot_hold_is_refused(tmp_path: Path, value: float) -> None:
    config = BY_FAMILY["llama"]
    weights = [
        (name, array + (value if name == "head.projection.weight" else 0)) for name, array in random_weights(config)
    ]
    with pytest.raises(OptionError, match=r"int8 cannot hold lm_head\.weight"):
        export(tmp_path / "out", config, weights, dtype="int8")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("family", BY_FAMILY)
def test_matrices_are_quantised_and_nothing_else(family: str, tmp_path: Path) -> None:
    before = {name: array.astype(np.float32) for name, array in random_weights(BY_FAMILY[family])}
    after = read(write(tmp_path / "m", family))
    assert {name: array.shape for name, array in after.items()} == layout(BY_FAMILY[family])
    peak = max(np.abs(before[name]).max() for name in after if is_matrix(name, after[name].shape))
    for name, array in after.items():
        if is_matrix(name, array.shape):
            assert 0 < np.abs(array - before[name]).max() <= peak / 127 * 0.501, name
        else:  # PaLM's norms are stored as they differ from 1
            assert np.abs(array - before[name]).max() < 1e-7, name
    stored = load_file(tmp_path / "m" / "model.safetensors")
    assert {array.dtype.name for array in stored.values()} == {"uint8", "float32"}


@pytest.mark.parametrize("family", BY_FAMILY)
def test_executors_compute_with_the_same_weights(family: str, tmp_path: Path) -> None:
    folder, both = write(tmp_path / "m", family), BY_FAMILY[family].kind == "encoder-decoder"
    exact, single, coded = (
        ch.load(folder, **options).logits([5, 6, 7, 8], [0, 4, 9] if both else None)
        for options in ({"executor": "torch", "dtype": "float64"}, {"dtype": "float32"}, {"executor": "native"})
    )
    assert np.abs(single - exact).max() < 1e-5 * np.abs(exact).max()
    assert np.abs(coded - exact).max() < 0.03 * np.abs(exact).max()  # it rounds activations as well


@pytest.mark.parametrize("family", [family for family in BY_FAMILY if family != "gpt2"])
def test_the_native_executor_keeps_codes_and_scales(family: str, tmp_path: Path) -> None:
    """Its weights are those of the file to the bit. GPT-2's lie transposed, so their scales are not those of rows."""
    checkpoint = open_folder(write(tmp_path / "m", family))
    packed, wanted = pack_weights(checkpoint.config, values(checkpoint, "auto")), dict(checkpoint.weights())
    assert packed.dtype == "int8"
    for name, matrix in packed.matrices.items():
        assert matrix.format.name == "int8"
        assert np.array_equal(unpack_rows(matrix), wanted[name]), name


def test_transposed_matrices_are_computed_as_floats(tmp_path: Path) -> None:
    packed = pack_weights(BY_FAMILY["gpt2"], values(open_folder(write(tmp_path / "m", "gpt2")), "auto"))
    assert {m.format.name for m in packed.matrices.values()} == {"int8", "float32"}


def test_writing_it_again_changes_nothing(tmp_path: Path) -> None:
    first = write(tmp_path / "first")
    ch.load(first).save(tmp_path / "second", dtype="int8")
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "second"))
    assert all(np.array_equal(one[name], two[name]) for name in one | two)


def test_a_table_of_positions_in_int8_is_read_as_floats(tmp_path: Path) -> None:
    """No file of ours has one; the native executor wants such tables as floats."""
    folder = write(tmp_path / "m", "gpt2")
    edit(folder, lambda t: t.update({"transformer.wpe.weight": quantised("p", t["transformer.wpe.weight"])}))
    one, two = (ch.load(folder, executor=e, dtype="float32").logits([5, 6, 7]) for e in ("native", "torch"))
    assert np.abs(one - two).max() < 1e-5 * np.abs(two).max()


def test_transformers_does_not_take_it_for_floats(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="mismatch"):
        tf.AutoModelForSeq2SeqLM.from_pretrained(write(tmp_path / "m"))


def spoil(row: int, value: float) -> Callable[[Tensors], None]:
    """Another scale in one row of the embedding."""

    def change(tensors: Tensors) -> None:
        tensors["model.shared.weight"][row, -SCALE:] = np.array([value], dtype=np.float32).view(np.uint8)

    return change


def put(name: str, make: Callable[[np.ndarray], np.ndarray]) -> Callable[[Tensors], None]:
    """Another tensor in one's place."""
    return lambda tensors: tensors.update({name: np.ascontiguousarray(make(tensors[name]))})


FC1, EMBED = "model.encoder.layers.0.fc1.weight", "model.shared.weight"
DAMAGE: dict[str, tuple[Callable[[Tensors], Any], str]] = {
    "a scale of no number": (spoil(3, np.nan), r"row 3 of model\.shared\.weight has the scale nan"),
    "an infinite scale": (spoil(0, np.inf), "has the scale inf"),
    "a scale of zero": (spoil(30, 0.0), "row 30 .*has the scale 0.0"),
    "a negative scale": (spoil(1, -0.5), "has the scale -0.5"),
    "a scale that float16 cannot hold": (spoil(1, 0.1), "must be positive, and a float16"),
    "a scale beyond float16": (spoil(1, 1e6), "must be positive, and a float16"),
    "rows without their scales": (put(FC1, lambda t: t[:, :-SCALE]), r"fc1\.weight"),
    "rows one byte too long": (put(FC1, lambda t: np.pad(t, ((0, 0), (1, 0)))), r"fc1\.weight \[40, 25\] .*\[40, 24\]"),
    "rows too few": (put(EMBED, lambda t: t[:-1]), r"model\.shared\.weight \[30, 24\] .*\[31, 24\]"),
    "no rows at all": (put(EMBED, lambda t: t[:0]), r"model\.shared\.weight \[0, 24\]"),
    "nothing but scales": (put(EMBED, lambda t: t[:, -SCALE:]), r"\[31, 4\] holds no rows of int8"),
    "a vector of bytes": (put(FC1, lambda t: t.reshape(-1)), "holds no rows of int8"),
    "bytes in three dimensions": (put(FC1, lambda t: t[None]), "holds no rows of int8"),
    "signed bytes": (put(FC1, lambda t: t.view(np.int8)), "is stored as I8"),
    "a matrix that is missing": (lambda t: t.pop(FC1), rf"missing tensor {FC1}"),
    "a matrix too many": (lambda t: t.update({"model.extra.weight": t[FC1]}), r"unknown tensor model\.extra\.weight"),
    "a second embedding that differs": (
        lambda t: t.update({"lm_head.weight": quantised("w", np.ones((31, 24), np.float32))}),
        r"lm_head\.weight differs",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_folder_is_one_clear_error(name: str, tmp_path: Path) -> None:
    change, message = DAMAGE[name]
    folder = write(tmp_path / "m")
    edit(folder, change)
    for executor in ("native", "torch"):
        with pytest.raises(CheckpointError, match=message) as caught:
            ch.load(folder, executor=executor)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("declared", [None, {}, {"quant_method": "another"}, "clearhead_int8", ["clearhead_int8"]])
def test_bytes_that_are_not_declared_are_refused(declared: Any, tmp_path: Path) -> None:
    folder = write(tmp_path / "m")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"quantization_config": declared}))
    with pytest.raises(CheckpointError, match="stored as U8"):
        read(folder)


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "m") / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="damaged or incomplete"):
        read(tmp_path / "m")


def test_the_command_line_writes_it(tmp_path: Path, folders: dict[str, Path]) -> None:
    source = folders["t5_folder"]
    result = invoke("export", source, tmp_path / "out", "--dtype", "int8", "--json")
    assert (result.exit_code, json.loads(result.stdout)["dtype"]) == (0, "int8")
    assert ch.load(tmp_path / "out").executor.dtype == "int8"
    before, after = ((folder / "model.safetensors").stat().st_size for folder in (source, tmp_path / "out"))
    assert after < 0.6 * before  # of a model so small that rows are mostly scales
    assert ch.load(tmp_path / "out").tokenizer.encode("abc") == ch.load(source).tokenizer.encode("abc")
    invoke("export", tmp_path / "out", tmp_path / "floats")
    floats = read(tmp_path / "floats")
    assert all(np.array_equal(array, floats[name]) for name, array in read(tmp_path / "out").items())
    assert "float64, float32, float16, bfloat16, int8" in fails("export", source, tmp_path / "no", "--dtype", "int3")
