"""Digests of files as the catalogue and the Hub state them."""

import hashlib
from pathlib import Path

from clearhead.checkpoints.catalogue.progress import Progress

CHUNK = 2**20  # bytes read at a time


def sha256_of(path: Path, progress: Progress) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    return consume(hashlib.sha256(), path, progress)


def git_blob_of(path: Path, progress: Progress) -> str:
    """The id Git gives a file's content (SHA-1 over a short header and the bytes), in hexadecimal."""
    header = f"blob {path.stat().st_size}\0".encode()
    return consume(hashlib.sha1(header, usedforsecurity=False), path, progress)


def consume(digest: "hashlib._Hash", path: Path, progress: Progress) -> str:
    """Feed a whole file to `digest`."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            progress.advance(len(chunk))
    return digest.hexdigest()
