"""Digests of files as the catalogue and the Hub state them."""

import hashlib
from pathlib import Path
from typing import IO, Protocol

from clearhead import digests
from clearhead.checkpoints.catalogue.progress import Progress

CHUNK = 2**20  # bytes read at a time


class Digest(Protocol):
    """A running hash."""

    def update(self, data: bytes, /) -> None:
        """Take in more bytes."""

    def hexdigest(self) -> str:
        """The hash of all bytes so far, in hexadecimal."""


def sha256_of(path: Path, progress: Progress) -> str:
    """The SHA-256 of a file."""
    return digests.sha256_of(path, progress.advance)


def git_blob_of(path: Path, progress: Progress) -> str:
    """The id Git gives a file's content: SHA-1 over a short header and the bytes."""
    size = path.stat().st_size
    with path.open("rb") as file:
        return consume(hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False), file, size, progress)


def consume(digest: Digest, file: IO[bytes], size: int, progress: Progress) -> str:
    """The digest after the next `size` bytes of `file`, or after as many as there are."""
    while size and (chunk := file.read(min(CHUNK, size))):
        digest.update(chunk)
        size -= len(chunk)
        progress.advance(len(chunk))
    return digest.hexdigest()
