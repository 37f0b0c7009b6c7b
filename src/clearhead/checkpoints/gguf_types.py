"""The number formats of GGUF tensors: which are read, how many bytes a block of each takes, and what it decodes to.

Quantised formats store rows as blocks of 32 or 256 numbers with their own scales; `gguf.quants`, by the authors of the
format, decodes them. R rows, C columns.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from clearhead.checkpoints.stored import Array, Bytes, StoredTensor

CHUNK = 2**20  # numbers decoded at a time: what the decoder needs beside its result stays at a few megabytes


@dataclass(frozen=True, slots=True)
class BlockType:
    """One format: `numbers` values take `size` bytes."""

    name: str
    numbers: int
    size: int

    @property
    def quantised(self) -> bool:
        """Whether values share scales; otherwise each is a float by itself."""
        return self.numbers > 1


F32, F16, BF16 = BlockType("F32", 1, 4), BlockType("F16", 1, 2), BlockType("BF16", 1, 2)

TYPES: dict[int, BlockType] = {
    0: F32,
    1: F16,
    2: BlockType("Q4_0", 32, 18),
    3: BlockType("Q4_1", 32, 20),
    6: BlockType("Q5_0", 32, 22),
    7: BlockType("Q5_1", 32, 24),
    8: BlockType("Q8_0", 32, 34),
    12: BlockType("Q4_K", 256, 144),
    13: BlockType("Q5_K", 256, 176),
    14: BlockType("Q6_K", 256, 210),
    30: BF16,
}
"""By the number the file gives (ggml.h, `enum ggml_type`)."""

# What else is met in published files, for a message that says more than a number.
UNREAD = {9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S"} | {
    20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64"
} | {29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4"}  # fmt: skip


def stored(name: str, shape: tuple[int, ...], kind: BlockType, data: Bytes) -> StoredTensor:
    """A tensor over its bytes in the file, `data`, which stay there until they are read."""
    if not kind.quantised:
        return StoredTensor(name, shape, kind.name, partial(floats, data, shape, kind))
    rows = data.reshape(math.prod(shape[:-1]), -1)
    return StoredTensor(name, shape, kind.name, partial(decode, rows, shape, kind), lambda: rows)


def floats(data: Bytes, shape: tuple[int, ...], kind: BlockType) -> Array:
    """Plain floats, straight from the file."""
    if kind is BF16:
        import ml_dtypes

        return np.asarray(data.view(ml_dtypes.bfloat16)).reshape(shape)
    return data.view(np.float32 if kind is F32 else np.float16).reshape(shape)


def decode(rows: Bytes, shape: tuple[int, ...], kind: BlockType) -> Array:
    """Blocks [R, bytes per row] as float32 of `shape`."""
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    columns, code = shape[-1], GGMLQuantizationType[kind.name]
    result: Array = np.empty((len(rows), columns), dtype=np.float32)
    step = max(1, CHUNK // columns)
    with np.errstate(all="ignore"):  # the scales of a damaged file may overflow
        for first in range(0, len(rows), step):
            result[first : first + step] = dequantize(rows[first : first + step], code)
    return result.reshape(shape)
