"""The GGUF container, versions 2 and 3: a table of settings, a table of tensors, and their bytes in a mapped file.

Format: ggml's docs/gguf.md. The parser is our own: it reads the vocabulary of a small model in hundredths of a second,
and takes nothing a file claims for granted.
"""

import mmap
import struct
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from clearhead.checkpoints.cursor import U32, U64, Cursor, map_file, release
from clearhead.checkpoints.gguf_types import TYPES, UNREAD, BlockType, stored
from clearhead.checkpoints.stored import StoredTensor
from clearhead.errors import CheckpointError

MAGIC = b"GGUF"
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9

MOST_SETTINGS = MOST_TENSORS = 2**16
MOST_ITEMS = 2**22  # of one array; the longest vocabularies have some 250,000 tokens
LONGEST_TEXT = 2**26  # bytes of one string; chat templates and tokenizer files are the long ones
WIDEST_ALIGNMENT = 2**16


@dataclass(frozen=True, kw_only=True, slots=True)
class GgufFile:
    """What one file holds: settings by their full keys, tensors by their names in the file."""

    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, StoredTensor]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the table of tensors; `shape` has rows first, `offset` counts from the start of the data."""

    name: str
    shape: tuple[int, ...]
    kind: BlockType
    offset: int
    length: int


def read_gguf(path: Path) -> GgufFile:
    """Settings and tensors of a GGUF file, tensors unread.

    Raises:
        CheckpointError: the file is no GGUF file of a version read here, is damaged, contradicts itself or stores
            tensors in a format that is not read.
    """
    data = map_file(path)
    cursor = Cursor(data, path.name)
    n_tensors, n_settings = read_header(cursor)
    metadata = read_settings(cursor, n_settings)
    alignment = read_alignment(cursor, metadata)
    entries = [read_entry(cursor, alignment) for _ in range(n_tensors)]
    start = -(-cursor.at // alignment) * alignment
    check_entries(cursor, entries, start)
    return GgufFile(path=path, metadata=metadata, tensors={e.name: tensor(data, e, start) for e in entries})


def read_header(cursor: Cursor) -> tuple[int, int]:
    """How many tensors and settings follow."""
    if cursor.data[:4] != MAGIC:
        raise CheckpointError(f"{cursor.where} is not a GGUF file: it begins with {cursor.data[:4]!r}, not {MAGIC!r}")
    cursor.move(4, "the magic number")
    version = cursor.number(U32, "the version")
    if version not in (2, 3):
        word = "big-endian" if int.from_bytes(version.to_bytes(4, "big"), "little") in (2, 3) else f"version {version}"
        raise CheckpointError(
            f"{cursor.where} is a {word} GGUF file; Clearhead reads versions 2 and 3, little-endian: convert it again"
        )
    # A setting takes at least a key, a type and one byte; a tensor a name, a count, one dimension, a type, an offset.
    return (
        cursor.count(U64, "the number of tensors", limit=MOST_TENSORS, each=32),
        cursor.count(U64, "the number of settings", limit=MOST_SETTINGS, each=13),
    )


def read_settings(cursor: Cursor, n: int) -> dict[str, Any]:
    """The table of settings: numbers, truth values, strings, and lists of one of these."""
    settings: dict[str, Any] = {}
    for _ in range(n):
        key = cursor.name(U64, "a key")
        if key in settings:
            raise cursor.fail(f"key {key!r} is repeated")
        settings[key] = read_value(cursor, cursor.number(U32, f"the type of {key!r}"), key)
    return settings


def read_value(cursor: Cursor, kind: int, key: str) -> Any:
    """One setting."""
    if kind == STRING:
        return cursor.text(U64, repr(key), limit=LONGEST_TEXT)
    if kind == ARRAY:
        return read_list(cursor, key)
    layout = scalar(cursor, kind, key)
    return layout.unpack(cursor.take(layout.size, repr(key)))[0]


def read_list(cursor: Cursor, key: str) -> list[Any]:
    """One setting that is a list."""
    kind = cursor.number(U32, f"the item type of {key!r}")
    if kind == ARRAY:
        raise cursor.fail(f"{key!r} is a list of lists, which no model needs")
    if kind == STRING:
        return cursor.texts(cursor.count(U64, f"the length of {key!r}", limit=MOST_ITEMS, each=8), repr(key))
    layout = scalar(cursor, kind, key)
    n = cursor.count(U64, f"the length of {key!r}", limit=MOST_ITEMS, each=layout.size)
    return list(struct.unpack(f"<{n}{SCALARS[kind]}", cursor.take(n * layout.size, repr(key))))


def scalar(cursor: Cursor, kind: int, key: str) -> struct.Struct:
    """How a number of this type is laid out."""
    if kind not in SCALARS:
        raise cursor.fail(f"{key!r} has the unknown type {kind}")
    return struct.Struct(f"<{SCALARS[kind]}")


def read_alignment(cursor: Cursor, metadata: dict[str, Any]) -> int:
    """What every tensor's offset is a multiple of, in bytes."""
    value = metadata.get("general.alignment", 32)
    sane = isinstance(value, int) and not isinstance(value, bool) and 8 <= value <= WIDEST_ALIGNMENT
    if not sane or value & (value - 1):
        raise cursor.fail(f"general.alignment is {value!r}, not a power of two from 8 to {WIDEST_ALIGNMENT}")
    return int(value)


def read_entry(cursor: Cursor, alignment: int) -> Entry:
    """One row of the table of tensors."""
    name = cursor.name(U64, "a tensor's name")
    n_dims = cursor.count(U32, f"the number of dimensions of {name}", limit=4, each=8)
    dims = [cursor.number(U64, f"a dimension of {name}") for _ in range(n_dims)]
    kind = block_type(cursor, cursor.number(U32, f"the type of {name}"), name)
    offset = cursor.number(U64, f"the offset of {name}")
    numbers = cursor.elements(dims or [0], name)
    if dims[0] % kind.numbers:
        raise cursor.fail(f"{name} has rows of {dims[0]} numbers, which {kind.name} cannot divide in {kind.numbers}s")
    if offset % alignment:
        raise cursor.fail(f"{name} begins at offset {offset}, which is no multiple of the alignment {alignment}")
    return Entry(name, tuple(reversed(dims)), kind, offset, numbers // kind.numbers * kind.size)


def block_type(cursor: Cursor, code: int, name: str) -> BlockType:
    """The format of one tensor."""
    if code not in TYPES:
        known = ", ".join(kind.name for kind in TYPES.values())
        raise CheckpointError(
            f"{cursor.where}: {name} is stored as {UNREAD.get(code, f'type {code}')}; Clearhead reads {known}"
        )
    return TYPES[code]


def check_entries(cursor: Cursor, entries: list[Entry], start: int) -> None:
    """Names are unique; each tensor lies inside the file and on no other."""
    seen: set[str] = set()
    for entry in entries:
        if entry.name in seen:
            raise cursor.fail(f"tensor {entry.name} is repeated")
        seen.add(entry.name)
        cursor.within(start + entry.offset, entry.length, entry.name)
    ordered = sorted(entries, key=lambda entry: entry.offset)
    for before, after in pairwise(ordered):
        if before.offset + before.length > after.offset:
            raise cursor.fail(f"tensors {before.name} and {after.name} overlap")


def tensor(data: mmap.mmap, entry: Entry, start: int) -> StoredTensor:
    """A tensor over the mapped file."""
    at = start + entry.offset
    bytes_of = np.frombuffer(data, dtype=np.uint8, count=entry.length, offset=at)
    unread = stored(entry.name, entry.shape, entry.kind, bytes_of)
    return replace(unread, release=partial(release, data, at, entry.length))
