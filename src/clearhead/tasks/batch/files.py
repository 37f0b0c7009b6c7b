"""Files that are whole or not there: written beside their place, made sure of on the disk, and then moved."""

import os
from pathlib import Path

from clearhead.errors import OutputError

UNFINISHED = ".unfinished"


def replace(path: Path, content: bytes) -> None:
    """Give a file new content, in one step for whoever reads it, kill and power cut included.

    Raises:
        OutputError: it cannot be written.
    """
    beside = path.with_name(path.name + UNFINISHED)
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        settle(path.parent)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}; make room and run the same command again"
        ) from None


def settle(folder: Path) -> None:
    """Make sure of a folder's names on the disk, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path) -> None:
    """Remove what a killed run left half written."""
    for path in folder.glob(f"*{UNFINISHED}"):
        path.unlink(missing_ok=True)
