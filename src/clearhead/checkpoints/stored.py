"""A tensor still on disk: its name, shape and storage type, and how to read it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Blocks:
    """A quantised tensor as its file stores it: `rows` [rows, bytes per row] hold a tensor of `shape`."""

    dtype: str  # as the file calls it: "Q4_K", ...
    shape: tuple[int, ...]
    rows: Bytes


def keep() -> None:
    """The default for `release`: there is nothing to give back."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of a checkpoint; nothing is read until it is asked for.

    `read` gives the values as float16, bfloat16 (of `ml_dtypes`), float32 or float64, whichever loses nothing:
    quantised types come back as float32. `raw`, where the file is quantised, gives the stored blocks as bytes
    [rows, bytes per row], memory-mapped, for an executor that computes on them. `release` gives back the memory that
    the mapped file took for reading; arrays that still lie in it stay right, and are read again when touched.
    """

    name: str
    shape: tuple[int, ...]  # rows out first, as in `families/layout.py`
    dtype: str  # as the file calls it: "F32", "BF16", "Q4_K", ...
    read: Callable[[], Array]
    raw: Callable[[], Bytes] | None = None
    release: Callable[[], None] = keep
