"""Room on the disk, and the disk's failures told in one line."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clearhead.errors import DownloadError


class NoSpaceError(DownloadError):
    """The disk is full: no other source can help."""


def require_space(folder: Path, needed: int, name: str) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises:
        NoSpaceError: fewer than `needed` bytes are free where `folder` is or will be.
    """
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise NoSpaceError(
            f"{name} needs {readable(needed)} in {folder}, where {readable(free)} are free; free some, or set "
            "CLEARHEAD_CACHE (HF_HOME for the Hub's files) to a folder on another disk"
        )


@contextmanager
def writing(name: str, folder: Path) -> Iterator[None]:
    """Turn what the operating system refuses into errors a person can act on.

    Raises:
        NoSpaceError: the disk is full.
        DownloadError: the cache cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise NoSpaceError(
                f"{name}: the disk of {folder} is full; free some space, or set CLEARHEAD_CACHE to another folder, and "
                "pull again: what has arrived is kept"
            ) from None
        raise DownloadError(
            f"{name}: {error.filename or folder} cannot be used ({error.strerror or error}); check its permissions, or "
            "set CLEARHEAD_CACHE to a folder that can be written"
        ) from None


def size_of(path: Path) -> int:
    """Bytes of a file, links followed; -1 where there is none."""
    try:
        return path.stat().st_size if path.is_file() else -1
    except (OSError, ValueError):
        return -1


def used_bytes(folder: Path) -> int:
    """Bytes of all files in a folder; 0 where there is none."""
    return sum(size for path in folder.rglob("*") if (size := size_of(path)) > 0) if folder.is_dir() else 0


def flush_to_disk(path: Path) -> None:
    """Have the system write a file, or a folder's list of entries, before what follows."""
    if os.name == "nt":
        return  # Windows flushes only through handles open for writing, and keeps renames in order itself
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def readable(size: int) -> str:
    """A size for a person."""
    return f"{size / 1e6:,.0f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB"
