"""Files of examples: read whole, checked to be text, and told by name, digest and rows beside every figure."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearhead.errors import DataError
from clearhead.tasks.evaluate.report import DataFile

LARGEST = 2**30  # bytes of one file of examples


@dataclass(frozen=True, slots=True)
class Text:
    """What a file says."""

    path: Path
    text: str
    sha256: str

    def lines(self) -> list[str]:
        """Its lines, without their ends; only a newline ends one, as other programs count."""
        found = self.text.removesuffix("\n").split("\n") if self.text else []
        return [line.removesuffix("\r") for line in found]

    def file(self, rows: int) -> DataFile:
        """The file, as results name it."""
        return DataFile(name=self.path.name, sha256=self.sha256, rows=rows)


def read(path: Path) -> Text:
    """A whole file of UTF-8 text.

    Raises:
        DataError: there is no such file, it is empty, too large, or no text.
    """
    try:
        if path.is_file() and path.stat().st_size > LARGEST:
            raise DataError(f"{path} has {path.stat().st_size:,} bytes; give a file of at most {LARGEST:,}")
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file; say with --data where the examples lie") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}); convert it first") from None
    if not text.strip():
        raise DataError(f"{path} is empty; give a file with examples")
    if "\0" in text:
        raise DataError(f"{path} is no text (it holds zero bytes); give a file with examples")
    return Text(path, text, hashlib.sha256(data).hexdigest())


def objects(text: Text) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file of JSON Lines, each with the number of its line, from 1.

    Raises:
        DataError: a line that is no JSON object; empty lines are passed over.
    """
    for number, line in enumerate(text.lines(), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{text.path}:{number} is no JSON: {str(error)[:80]}") from None
        if not isinstance(value, dict):
            raise DataError(f"{text.path}:{number} is a JSON {type(value).__name__}; give an object on each line")
        yield number, value


def is_json_lines(text: Text) -> bool:
    """Whether the first line that holds something is a JSON object by itself."""
    first = next((line for line in text.lines() if line.strip()), "")
    try:
        return isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False
