"""The SHA-256 of a file: what a catalogue, a recipe, a run and an evaluation know files by."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import IO


class Counted:
    """A file that says how much of it was read."""

    def __init__(self, file: IO[bytes], advance: Callable[[int], None]) -> None:
        self.file, self.advance = file, advance

    def readable(self) -> bool:
        """What `hashlib.file_digest` asks first."""
        return True

    def readinto(self, buffer: bytearray) -> int:
        """The next bytes; how many there are."""
        read: int = self.file.readinto(buffer)  # type: ignore[attr-defined]
        self.advance(read)
        return read


def sha256_of(path: Path, advance: Callable[[int], None] = lambda _: None) -> str:
    """The SHA-256 of a file, in hexadecimal; `advance` hears how many bytes more were read.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(Counted(file, advance), "sha256").hexdigest()
