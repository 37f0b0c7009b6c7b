"""Types of the extension module (`src/native/bindings.cpp`, `bind_choosing.cpp`, `bind_kernels.cpp`)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearhead.checkpoints.stored import Bytes

Floats = NDArray[np.float32]

PACKED_VERSION: int

def instruction_sets() -> list[str]: ...
def packed_bytes(format: str, minima: bool, rows: int, columns: int, group: int) -> int: ...
def pack(
    format: str, minima: bool, rows: int, columns: int, group: int, type: str, source: Bytes, first: int, out: Bytes
) -> None: ...
def unpack(
    format: str, minima: bool, rows: int, columns: int, group: int, data: Bytes, row: int, out: Floats
) -> None: ...
def unpack_rows(format: str, minima: bool, rows: int, columns: int, group: int, data: Bytes, out: Floats) -> None: ...
def sample(
    rows: Sequence[Floats],
    temperatures: Sequence[float],
    top_k: Sequence[int],
    top_p: Sequence[float],
    min_p: Sequence[float],
    uniforms: Sequence[float],
    threads: int,
    instruction_set: str = "",
) -> list[int]: ...
def best(
    rows: Sequence[Floats], count: int, banned: Sequence[list[int]], threads: int, instruction_set: str = ""
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]: ...
def multiply(
    instruction_set: str,
    format: str,
    minima: bool,
    rows: int,
    columns: int,
    group: int,
    data: Bytes,
    x: Floats,
    add: bool,
    token_step: int,
    block_step: int,
    out: Floats,
) -> None: ...

class Cache:
    @property
    def capacity(self) -> int: ...
    @property
    def lengths(self) -> list[int]: ...
    @property
    def pages(self) -> list[list[int]]: ...
    def truncate(self, lengths: list[int]) -> None: ...
    def select(self, rows: list[int]) -> None: ...
    def adopt(self, row: int, source: Cache, source_row: int, length: int) -> None: ...
    def join(self, source: Cache) -> None: ...

class Memory:
    @property
    def lengths(self) -> list[int]: ...
    def select(self, rows: list[int]) -> Memory: ...
    def extend(self, other: Memory) -> None: ...

def states(memory: Memory, row: int, columns: int) -> Floats: ...

class Positions:
    def __init__(
        self, added: Floats | None, cosines: Floats | None, sines: Floats | None, bias: Floats | None, origin: int
    ) -> None: ...

class Capture:
    def __init__(
        self,
        model: Model,
        encoder: bool,
        heads: list[int],
        rows: int,
        keys: int,
        memory: int,
        places: list[tuple[str, int, Floats]],
    ) -> None: ...
    def at(self, row: int, first_key: int) -> None: ...

class Edits:
    def __init__(self, places: list[tuple[str, int]], change: Callable[[str, int, Floats], None]) -> None: ...

class Model:
    def __init__(
        self,
        config: dict[str, Any],
        matrices: Mapping[str, tuple[str, bool, int, int, int, Bytes]],
        arrays: Mapping[str, Floats],
        instruction_set: str,
        threads: int,
        kv: str,
    ) -> None: ...
    def decode(
        self,
        ids: Sequence[int],
        counts: Sequence[int],
        cache: Cache | None,
        memory: Memory | None,
        all: bool,
        positions: Positions,
        capture: Capture | None,
        edits: Edits | None,
        logits: Floats,
    ) -> bool: ...
    def encode(
        self,
        ids: Sequence[int],
        counts: Sequence[int],
        types: Sequence[int],
        positions: Positions,
        capture: Capture | None,
        edits: Edits | None,
    ) -> Memory | None: ...
    def read(self, states: Floats, logits: Floats) -> None: ...
    def head(self, memory: Memory, logits: Floats) -> None: ...
    def pool(self, memory: Memory, out: Floats) -> None: ...
    def cancel(self) -> None: ...
    def new_cache(self, rows: int, capacity: int) -> Cache: ...
    @property
    def logit_stride(self) -> int: ...
    @property
    def cache_bytes(self) -> int: ...
    @property
    def threads(self) -> int: ...
    @property
    def instruction_set(self) -> str: ...
