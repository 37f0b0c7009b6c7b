"""Single products of the native executor, on every instruction set: held to NumPy, to each other, and to their promise
that a token's numbers are the same bits alone, in any batch and for any cut of the work.

M tokens, K columns of a matrix (what a token's activations have), N rows (what comes out).
"""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clearhead.native import _native
from clearhead.native.packing import Format, aligned, pack_matrix

SETS = _native.instruction_sets()
FUSED = [name for name in SETS if name != "portable"]  # whose multiply-and-add rounds once
FORMATS = [
    Format("float32"),
    Format("bfloat16"),
    Format("int8"),
    Format("int8", group=64),
    Format("int8", group=128),
    Format("int8", minima=True),
    Format("int4"),
    Format("int4", minima=True),
]
SHAPES = [(1, 1), (20, 20), (16, 128), (33, 70), (100, 384), (129, 1024)]  # N, K
QUANTISED = [form for form in FORMATS if form.name.startswith("int")]

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Packed:
    """A matrix [N, K] as the kernels read it, and the weights it stands for."""

    form: Format
    rows: int
    columns: int
    data: NDArray[np.uint8]
    weights: Floats

    @property
    def shape(self) -> tuple[str, bool, int, int, int]:
        return self.form.name, self.form.minima, self.rows, self.columns, self.form.group


def fits(form: Format, columns: int) -> bool:
    """Groups of 64 and 128 are for rows they divide."""
    return form.group == 32 or columns % form.group == 0


def packed(form: Format, rows: int, columns: int, seed: int = 0) -> Packed:
    """Random weights, packed; minima need codes that are not centred, which blocks of Q5_1 and floats for int4 give."""
    random = np.random.default_rng(seed)
    values = random.normal(0.1, 1, size=(rows, columns)).astype(np.float32)
    data = aligned(form.bytes((rows, columns)))
    if form.minima and form.name == "int8":
        fill_with_minima(random, rows, columns, data)
    else:
        pack_matrix("w", values, form, data)
    return Packed(form, rows, columns, data, unpacked(form, rows, columns, data))


def fill_with_minima(random: np.random.Generator, rows: int, columns: int, data: NDArray[np.uint8]) -> None:
    """Codes 0 to 31 with scales and minima at random, laid out as `src/native/matrix.h` says."""
    blocks, groups = -(-rows // 16), -(-columns // 32)
    codes = random.integers(0, 32, size=(blocks, groups, 32 * 16), dtype=np.uint8)
    factors = random.normal(0, 0.1, size=(blocks, groups, 2 * 16)).astype(np.float16)  # scales, then minima
    data[:] = np.concatenate([codes, factors.view(np.uint8)], axis=2).reshape(-1)


def unpacked(form: Format, rows: int, columns: int, data: NDArray[np.uint8]) -> Floats:
    """The floats that a packed matrix stands for."""
    result = np.empty((rows, -(-columns // 128) * 128), np.float32)
    for row in range(rows):
        _native.unpack(form.name, form.minima, rows, columns, form.group, data, row, result[row])
    return result[:, :columns]


def activations(tokens: int, columns: int, seed: int = 1) -> Floats:
    """Of very different sizes, some rows with zeros."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(tokens, columns)) * np.exp(2 * random.normal(size=(tokens, 1)))
    x[:, : columns // 3] *= random.integers(0, 2, size=(tokens, 1))
    return x.astype(np.float32)


def product(
    name: str,
    matrix: Packed,
    x: Floats,
    *,
    bias: Floats | None = None,
    onto: Floats | None = None,
    cuts: tuple[int, int] = (10**6, 10**6),
) -> Floats:
    """X W^T on one instruction set, in pieces of so many tokens and row blocks; added to `onto` if that is given."""
    out = np.full((len(x), -(-matrix.rows // 16) * 16), np.nan, np.float32) if onto is None else onto.copy()
    _native.multiply(name, *matrix.shape, matrix.data, x, bias, onto is not None, *cuts, out)
    return out


def rounded(form: Format, x: Floats) -> NDArray[np.float64]:
    """The activations as the kernels of a format take them: floats, bfloat16, or bytes with a scale for each group."""
    if form.name == "float32":
        return x.astype(np.float64)
    if form.name == "bfloat16":
        bits = x.view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32).astype(np.float64)
    columns = x.shape[1]
    groups = np.pad(x, ((0, 0), (0, -columns % form.group))).reshape(len(x), -1, form.group)
    peak = np.abs(groups).max(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        codes = np.where(peak > 0, np.rint(groups * (np.float32(127) / peak)), 0)
    values = codes.astype(np.float64) * (peak / np.float32(127))
    return values.reshape(len(x), -1)[:, :columns]


def close(ours: Floats, expected: NDArray[np.float64], magnitude: NDArray[np.float64]) -> bool:
    """Whether what differs is the rounding of float32 sums."""
    return bool((np.abs(ours - expected) <= 2e-6 * magnitude + 1e-30).all())


@pytest.mark.parametrize("form", FORMATS, ids=str)
@pytest.mark.parametrize("name", SETS)
def test_products_are_numpys(name: str, form: Format) -> None:
    for rows, columns in SHAPES:
        if not fits(form, columns):
            continue
        matrix = packed(form, rows, columns)
        for tokens in (1, 2, 3, 4, 5, 8, 11, 12, 16, 17, 29, 33, 40, 64, 77):
            x = activations(tokens, columns)
            taken, weights = rounded(form, x), matrix.weights.astype(np.float64)
            expected, magnitude = taken @ weights.T, np.abs(taken) @ np.abs(weights).T
            if form.minima:  # whose weights are the sum of two products, larger than themselves
                magnitude += np.abs(taken).sum(axis=1, keepdims=True) * 40
            ours = product(name, matrix, x)
            assert close(ours[:, :rows], expected, magnitude), (rows, columns, tokens)
            assert np.isfinite(ours).all()


@pytest.mark.parametrize("form", FORMATS, ids=str)
@pytest.mark.parametrize("name", SETS)
@settings(max_examples=25, deadline=None)
@given(
    tokens=st.integers(1, 80),
    rows=st.integers(1, 260),
    columns=st.sampled_from([32, 96, 128, 384, 640]),
    token_step=st.integers(1, 90),
    block_step=st.integers(1, 9),
)
def test_cuts_and_batches_give_the_same_bits(
    name: str, form: Format, tokens: int, rows: int, columns: int, token_step: int, block_step: int
) -> None:
    if not fits(form, columns):
        return
    matrix, x = packed(form, rows, columns), activations(tokens, columns)
    whole = product(name, matrix, x)
    assert np.array_equal(whole, product(name, matrix, x, cuts=(token_step, block_step)))
    for token in {0, tokens // 2, tokens - 1}:
        assert np.array_equal(whole[token : token + 1], product(name, matrix, x[token : token + 1]))


@pytest.mark.parametrize("form", [Format("float32"), *QUANTISED], ids=str)
def test_instruction_sets_agree_to_the_bit(form: Format) -> None:
    """Sums of groups are exact and floats added in one order; only bfloat16 has instructions that round otherwise."""
    for rows, columns in SHAPES:
        if not fits(form, columns):
            continue
        matrix = packed(form, rows, columns)
        for tokens in (1, 7, 40):
            x = activations(tokens, columns)
            results = [product(name, matrix, x) for name in FUSED]
            for result in results[1:]:
                assert np.array_equal(result, results[0])


@pytest.mark.parametrize("form", FORMATS, ids=str)
@pytest.mark.parametrize("name", SETS)
def test_bias_and_addition(name: str, form: Format) -> None:
    matrix, random = packed(form, 50, 128), np.random.default_rng(5)
    for tokens in (1, 6, 16, 35):
        x = activations(tokens, 128)
        plain, bias = product(name, matrix, x), random.normal(size=64).astype(np.float32)
        onto = random.normal(size=plain.shape).astype(np.float32)
        assert np.array_equal(product(name, matrix, x, bias=bias), plain + bias)
        assert np.array_equal(product(name, matrix, x, onto=onto), plain + onto)
        assert np.array_equal(product(name, matrix, x, bias=bias, onto=onto), (plain + bias) + onto)


@pytest.mark.parametrize("form", FORMATS, ids=str)
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_shows(name: str, form: Format, wrong: float) -> None:
    matrix, x = packed(form, 20, 96 if form.group == 32 else 128), activations(21, 96 if form.group == 32 else 128)
    x[3, 40] = wrong
    result = product(name, matrix, x)
    assert not np.isfinite(result[3, :20]).any()
    assert np.isfinite(np.delete(result, 3, axis=0)).all()


@pytest.mark.parametrize("group", [32, 64, 128])
def test_activations_in_bytes(group: int) -> None:
    x = activations(1, 512, seed=7)[0]
    x[:group] = 0
    x[group : 2 * group] *= 1e-30
    x[2 * group : 3 * group] *= 5e37
    results = [_native.quantise(name, x, group) for name in SETS]
    codes, scales, sums = results[0]
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(other, results[0], strict=True))
    groups = codes.reshape(-1, group)
    assert np.array_equal(sums, groups.sum(axis=1, dtype=np.int32))
    assert np.array_equal(np.abs(groups).max(axis=1), np.where(scales > 0, 127, 0))
    values = groups.astype(np.float64) * scales[:, None]
    assert (np.abs(values - x.reshape(-1, group)) <= 0.5001 * scales[:, None]).all()


@pytest.mark.parametrize(
    "shape", [("int4", False, 16, 128, 64), ("int8", True, 16, 128, 64), ("int8", False, 0, 32, 32)]
)
def test_forms_that_no_kernel_has_are_refused(shape: tuple[str, bool, int, int, int]) -> None:
    with pytest.raises(ValueError, match="a packed matrix has rows, columns and groups of 32"):
        _native.packed_bytes(*shape)
