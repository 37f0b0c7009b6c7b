"""Matrices in int8, as a Hugging Face folder holds them: whole numbers, and for each row what to multiply them by.

    config.json          "quantization_config": {"quant_method": "clearhead_int8"}
    model.safetensors    NAME  U8 [rows, columns + 4]: of each row its columns as signed bytes, then one float32

Norms, biases and tables of positions are floats under their own names, as ever. The float32 is a number that float16
can hold, which is what the native executor keeps, so that its weights are those of the file to the bit. A row lies as
that executor's packing reads it. And the four bytes more than the configuration asks for make any reader that does not
know this form refuse the file for its shapes, where codes apart from their scales would be taken for weights.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearhead.checkpoints.stored import Array, Bytes, StoredTensor
from clearhead.errors import CheckpointError, OptionError

METHOD = "clearhead_int8"
DECLARED = {"quantization_config": {"quant_method": METHOD}}
SCALE = 4  # bytes at the end of a row
LARGEST_CODE = 127


def is_int8(config: Mapping[str, Any]) -> bool:
    """Whether a config.json declares this form."""
    declared = config.get("quantization_config")
    return isinstance(declared, dict) and declared.get("quant_method") == METHOD


def quantised(name: str, array: Array) -> Bytes:
    """Rows [rows, columns + 4] for a matrix [rows, columns]; each number is off by half of its row's scale at most.

    Raises:
        OptionError: a weight that is not finite, or so large that no float16 can scale its row.
    """
    values = array.astype(np.float32)
    scales = scales_of(np.abs(values).max(axis=1, initial=0))
    if not np.isfinite(scales).all():
        raise OptionError(f"dtype int8 cannot hold {name}, which is not finite or beyond {LARGEST_CODE * 65504}")
    rows = np.empty((len(values), values.shape[1] + SCALE), dtype=np.uint8)
    rows[:, :-SCALE] = np.rint(values / scales[:, None]).astype(np.int8).view(np.uint8)
    rows[:, -SCALE:] = scales[:, None].view(np.uint8)
    return rows


def scales_of(peaks: NDArray[np.float32]) -> NDArray[np.float32]:
    """What makes 127 of each row's largest magnitude, rounded up to a float16 so that none becomes 128; 1 for zeros."""
    wanted = peaks / np.float32(LARGEST_CODE)
    with np.errstate(over="ignore"):
        near = wanted.astype(np.float16)
        up = np.where(near.astype(np.float32) < wanted, np.nextafter(near, np.float16(np.inf)), near)
    return np.where(peaks == 0, np.float32(1), up.astype(np.float32))


def with_matrices(tensors: Mapping[str, StoredTensor], where: str) -> dict[str, StoredTensor]:
    """The tensors of a folder that declares this form, its rows of bytes as matrices of numbers.

    Raises:
        CheckpointError: bytes that are no rows with a scale each, or a scale that is none.
    """
    return {name: matrix(stored, where) if stored.dtype == "U8" else stored for name, stored in tensors.items()}


def matrix(stored: StoredTensor, where: str) -> StoredTensor:
    """One tensor of bytes as the matrix that it stands for."""
    if stored.raw is None or stored.shape[1] <= SCALE:
        raise CheckpointError(
            f"{where}: {stored.name} {list(stored.shape)} holds no rows of int8, which end in {SCALE} bytes of a scale"
        )
    scales = scales_in(stored.raw())
    wrong = ~(np.isfinite(scales) & (scales > 0) & (scales == halved(scales)))
    if wrong.any():
        row = int(wrong.argmax())
        raise CheckpointError(
            f"{where}: row {row} of {stored.name} has the scale {scales[row]!s}; it must be positive, and a float16"
        )
    shape = (stored.shape[0], stored.shape[1] - SCALE)
    return replace(stored, shape=shape, dtype="int8", read=partial(numbers, stored.raw))


def numbers(raw: Any) -> NDArray[np.float32]:
    """[rows, columns]: what rows of bytes stand for."""
    rows: Bytes = raw()
    return rows[:, :-SCALE].view(np.int8).astype(np.float32) * scales_in(rows)[:, None]


def scales_in(rows: Bytes) -> NDArray[np.float32]:
    """The scale [rows] at the end of each."""
    return np.ascontiguousarray(rows[:, -SCALE:]).view(np.float32)[:, 0]


def halved(scales: NDArray[np.float32]) -> NDArray[np.float32]:
    """The nearest numbers that float16 can hold."""
    with np.errstate(over="ignore", invalid="ignore"):
        return scales.astype(np.float16).astype(np.float32)
