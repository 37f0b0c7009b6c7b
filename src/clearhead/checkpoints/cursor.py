"""A walk through the bytes of a file that a stranger wrote: what its sizes claim is checked here and nowhere else.

Nothing is allocated for a claim before the bytes behind it are known to be there. Numbers are little-endian and become
Python's whole numbers, which do not wrap, so a product or a sum is exact before it is compared with the file's size.
"""

import math
import mmap
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from clearhead.errors import CheckpointError

U8, U16, U32, U64 = (struct.Struct(f"<{letter}") for letter in "BHIQ")
I32, F32 = struct.Struct("<i"), struct.Struct("<f")
LARGEST_NAME = 1024  # bytes of a key or a tensor's name


class Cursor:
    """A position in `data`, which `where` names in errors. Every method but `fail` raises `CheckpointError`."""

    def __init__(self, data: bytes | mmap.mmap, where: str) -> None:
        self.data, self.where, self.at, self.size = data, where, 0, len(data)

    def fail(self, reason: str) -> CheckpointError:
        """The error for a file that cannot be what it claims to be."""
        return CheckpointError(f"{self.where}: {reason}; the file is damaged or incomplete, download it again")

    def move(self, length: int, what: str) -> int:
        """Step over `length` bytes and return where they start."""
        start, left = self.at, self.size - self.at
        if not 0 <= length <= left:
            raise self.fail(f"{what} calls for {length} bytes at byte {start}, where {left} are left")
        self.at += length
        return start

    def take(self, length: int, what: str) -> bytes:
        """The next `length` bytes."""
        start = self.move(length, what)
        return self.data[start : start + length]

    def number(self, layout: struct.Struct, what: str) -> int:
        """The next whole number."""
        value: int = layout.unpack_from(self.data, self.move(layout.size, what))[0]
        return value

    def count(self, layout: struct.Struct, what: str, *, limit: int, each: int = 1) -> int:
        """How many items follow, of at least `each` bytes apiece; at most `limit` of them are plausible."""
        n = self.number(layout, what)
        if not 0 <= n <= limit:
            raise self.fail(f"{what} is {n}, more than the {limit} that any model needs")
        if n * each > self.size - self.at:
            raise self.fail(f"{what} is {n}, which calls for {n * each} bytes where {self.size - self.at} are left")
        return n

    def text(self, layout: struct.Struct, what: str, *, limit: int) -> str:
        """The next string, its length in front."""
        return self.decode(self.take(self.count(layout, f"the length of {what}", limit=limit), what), what)

    def name(self, layout: struct.Struct, what: str) -> str:
        """The next string, one that a message may show: without control characters but a zero at its end."""
        name = self.text(layout, what, limit=LARGEST_NAME).removesuffix("\0")
        if not name.isprintable():
            raise self.fail(f"{what} is {name!r}, which holds control characters")
        return name

    def texts(self, n: int, what: str) -> list[str]:
        """The next `n` strings, their lengths as 64-bit numbers in front: one pass, since vocabularies are long."""
        data, at, size, found = self.data, self.at, self.size, list[str]()
        length = U64.unpack_from
        try:
            for _ in range(n):
                start = at + 8
                at = start + length(data, at)[0] if start <= size else size + 1
                if at > size:
                    raise self.fail(f"{what} holds a string that runs past the end")
                found.append(str(data[start:at], "utf-8"))
        except UnicodeDecodeError:
            raise self.fail(f"{what} is not UTF-8 text") from None
        self.at = at
        return found

    def decode(self, raw: bytes, what: str) -> str:
        """UTF-8 as text."""
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise self.fail(f"{what} is not UTF-8 text") from None

    def elements(self, dims: Sequence[int], what: str) -> int:
        """How many numbers an array of these dimensions holds."""
        if not all(n >= 1 for n in dims):
            raise self.fail(f"{what} has the shape {list(dims)}, which holds nothing")
        return math.prod(dims)

    def within(self, start: int, length: int, what: str) -> None:
        """Refuse a range that leaves the file."""
        if start < 0 or length < 0 or start + length > self.size:
            raise self.fail(f"{what} lies at bytes {start} to {start + length} of a file of {self.size}")


def map_file(path: Path) -> mmap.mmap:
    """A whole file as read-only memory; pages are read when touched.

    Raises:
        CheckpointError: the file is absent, unreadable or empty.
    """
    try:
        with path.open("rb") as file:
            return map_handle(file, path.name)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}; give the path of a model file") from None


AROUND = 2**22  # bytes; beyond what one fault maps, whatever the size of the page cache's folios


def release(data: mmap.mmap, start: int, length: int) -> None:
    """Let go of a range's pages, which count as memory of this process once touched; they are read again if need be.

    So do its neighbours: the kernel maps some of the pages around the one that is touched.
    """
    if hasattr(mmap, "MADV_DONTNEED"):  # which Windows lacks
        first = max(0, start - AROUND)
        first -= first % mmap.PAGESIZE
        data.madvise(mmap.MADV_DONTNEED, first, min(len(data), start + length + AROUND) - first)


def map_handle(file: BinaryIO, name: str) -> mmap.mmap:
    """An open file as read-only memory."""
    try:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError:
        raise CheckpointError(f"{name}: the file is empty; download it again") from None
