"""Text files that are whole at every moment: written beside their place, forced to the disk, and moved there; and one
that is only ever added to."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

DRAFT = ".writing"


def write_whole(path: Path, content: str | bytes) -> None:
    """Put a file in its place; one that was there before stays until then.

    Raises:
        OSError: no room, or no right; nothing has changed.
    """
    draft = path.with_name(f".{path.name}{DRAFT}")
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


def append(path: Path, text: str) -> None:
    """Add to a file's end all of a text or none of it.

    Raises:
        OSError: no room, or no right; nothing has changed.
    """
    rest = memoryview(text.encode("utf-8"))
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except BaseException:
            with suppress(OSError):
                file.truncate(before)
            raise


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """All lines but a last one that was cut off, and what may follow it."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines
