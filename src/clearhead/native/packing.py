"""Weights into the form the kernels read (`src/native/matrix.h`): which format each gets, and the packing itself.

A matrix keeps the blocks of a GGUF file where a format can hold them, and is made from floats otherwise. What is no
matrix of a product (norms, biases, tables of positions) stays float32.
"""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clearhead.checkpoints.stored import Array, Blocks, Bytes
from clearhead.config import ModelConfig
from clearhead.errors import CheckpointError, OptionError
from clearhead.families.layout import is_matrix
from clearhead.native import _native

DTYPES = ("float32", "bfloat16", "int8", "int4")
ALIGNMENT = 64  # bytes: a vector, a cache line
CHUNK = 2**21  # numbers packed at a time by one thread
THREADS = 2  # that pack; more would only wait for memory

# The formats that hold the blocks of each stored type: name, and whether groups have minima.
BLOCKS = {
    "Q4_0": ("int4", False),
    "Q4_1": ("int4", True),
    "Q4_K": ("int4", True),
    "Q5_0": ("int8", False),
    "Q5_1": ("int8", True),
    "Q5_K": ("int8", True),
    "Q6_K": ("int8", False),
    "Q8_0": ("int8", False),
    "int8": ("int8", False),  # CTranslate2's and our own folders': integers with one scale a row
}


@dataclass(frozen=True, slots=True)
class Format:
    """How the weights of one matrix are stored; `group` columns share a scale."""

    name: str
    minima: bool = False
    group: int = 32

    def bytes(self, shape: tuple[int, ...]) -> int:
        """What a matrix of this shape takes."""
        return _native.packed_bytes(self.name, self.minima, shape[0], shape[1], self.group)


@dataclass(frozen=True, slots=True)
class PackedMatrix:
    """One matrix [rows, columns], its bytes aligned to 64."""

    format: Format
    rows: int
    columns: int
    data: Bytes


@dataclass(frozen=True, slots=True)
class PackedWeights:
    """All weights of a model, by the names of `families/layout.py`; `file` is what they are mapped from, if any."""

    matrices: Mapping[str, PackedMatrix]
    arrays: Mapping[str, NDArray[np.float32]]
    file: Path | None = None

    @property
    def dtype(self) -> str:
        """The narrowest type of any matrix: what a model in mixed types is called."""
        return max((m.format.name for m in self.matrices.values()), key=DTYPES.index)

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(m.data.nbytes for m in self.matrices.values()) + sum(a.nbytes for a in self.arrays.values())


def packable(dtype: str, kind: str) -> bool:
    """Whether blocks of this stored type are kept under this dtype, rather than decoded first."""
    return dtype == "auto" and kind in BLOCKS


def format_for(config: ModelConfig, name: str, value: Array | Blocks, dtype: str) -> Format:
    """The format of one matrix; "auto" keeps what the file holds.

    With int4, the embedding and the head stay in int8: every choice of a word passes through them.
    """
    group = widest_group(config, value.shape)
    if isinstance(value, Blocks):
        return Format(*BLOCKS[value.dtype], group=group if value.dtype == "int8" else 32)
    if dtype == "auto":
        dtype = "float32" if value.dtype.itemsize > 2 else "bfloat16"
    if dtype == "int4" and name.startswith(("embed.", "head.")):
        dtype = "int8"
    if dtype != "int8":
        return Format(dtype, minima=dtype == "int4")
    return Format("int8", group=group)


def widest_group(config: ModelConfig, shape: tuple[int, ...]) -> int:
    """How many columns of int8 may share a scale.

    64, which are as good as 32 where that was measured; in encoders 128: MiniLM's embeddings lose little by them, and
    products, which arithmetic bounds there, gain a tenth (docs/log.md).
    """
    wide = (128, 64) if config.kind == "encoder" else (64,)
    return next((group for group in wide if shape[1] % group == 0), 32)


def check_dtype(dtype: str) -> None:
    """Refuse a dtype that cannot be packed.

    Raises:
        OptionError: naming those that can.
    """
    if dtype not in DTYPES and dtype != "auto":
        raise OptionError(
            f"dtype {dtype!r} is not one the native executor computes in; choose from auto, {', '.join(DTYPES)}"
        )


def pack_weights(
    config: ModelConfig, weights: Iterable[tuple[str, Array | Blocks]], dtype: str = "auto"
) -> PackedWeights:
    """Weights by name, packed in memory.

    Raises:
        OptionError: an unknown dtype.
        CheckpointError: a weight that is not finite cannot be quantised.
    """
    check_dtype(dtype)
    matrices: dict[str, PackedMatrix] = {}
    arrays: dict[str, NDArray[np.float32]] = {}
    for name, value in weights:
        if is_matrix(name, value.shape):
            form = format_for(config, name, value, dtype)
            data = aligned(form.bytes(value.shape))
            pack_matrix(name, value, form, data)
            matrices[name] = PackedMatrix(form, value.shape[0], value.shape[1], data)
        else:
            arrays[name] = floats(value)
    return PackedWeights(matrices, arrays)


def aligned(size: int) -> Bytes:
    """Zeroed bytes at a multiple of 64."""
    raw = np.zeros(size + ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size]


def floats(value: Array | Blocks) -> NDArray[np.float32]:
    """A vector or table as float32 of its own memory."""
    assert not isinstance(value, Blocks)
    return np.array(value, dtype=np.float32, order="C")


def pack_matrix(name: str, value: Array | Blocks, form: Format, out: Bytes) -> None:
    """Write one matrix into `out`, whole blocks of sixteen rows at a time, on two threads."""
    rows, columns = value.shape

    def pack(span: slice) -> None:
        kind, part = ("F32", value) if not isinstance(value, Blocks) else (value.dtype, value.rows)
        source = np.ascontiguousarray(part[span], dtype=None if isinstance(value, Blocks) else np.float32)
        _native.pack(
            form.name, form.minima, rows, columns, form.group, kind, source.view(np.uint8).reshape(-1), span.start, out
        )

    try:
        with ThreadPoolExecutor(THREADS) as threads:
            for _ in threads.map(pack, spans(rows, columns)):
                pass
    except ValueError as error:
        raise CheckpointError(f"{name} cannot be packed as {form.name}: {error}") from None


def spans(rows: int, columns: int) -> Iterator[slice]:
    """All rows in pieces of about CHUNK numbers, none of which shares a block of sixteen with another."""
    step = max(1, CHUNK // columns // 16) * 16
    for first in range(0, rows, step):
        yield slice(first, min(rows, first + step))


def unpack_rows(matrix: PackedMatrix) -> NDArray[np.float32]:
    """[rows, columns]: what a packed matrix stands for."""
    out = np.empty((matrix.rows, matrix.columns), dtype=np.float32)
    f = matrix.format
    _native.unpack_rows(f.name, f.minima, matrix.rows, matrix.columns, f.group, matrix.data, out)
    return out
