"""Rows of a file of JSON Lines. A line that is no row fails by itself, and is kept as it was."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from clearhead.tasks.batch.found import MARK, Failure, Fields, checked, is_mark, mark_of, unfit


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its fields, or why it has none."""

    at: str  # file and number, from 1
    fields: Fields | None
    error: str = ""
    raw: str = ""  # the line itself, without its end


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines that follow each other; see `rows.Rows`."""

    lines: Sequence[Line]

    def __len__(self) -> int:
        return len(self.lines)

    def first(self) -> tuple[str, list[str]] | None:
        """The place of the first sound row and the names of its fields."""
        return next(((line.at, list(line.fields)) for line in self.lines if line.fields is not None), None)

    def texts(self, field: str, example: Fields) -> list[str | Failure]:
        """The text of each row."""
        return [text_of(line, field, example) for line in self.lines]

    def results(self, found: Sequence[Fields | Failure], example: Fields) -> bytes:
        """The rows that have a result, as JSON Lines."""
        pairs = zip(self.lines, found, strict=True)
        return b"".join(extended(line.raw, got) for line, got in pairs if not isinstance(got, Failure))

    def failed(self, found: Sequence[Fields | Failure]) -> bytes:
        """The others, as JSON Lines; what was no row is kept as a text, `line`."""
        pairs = zip(self.lines, found, strict=True)
        return b"".join(
            extended(spelled({"line": line.raw}) if line.fields is None else line.raw, mark_of(got, line.at))
            for line, got in pairs
            if isinstance(got, Failure)
        )


def text_of(line: Line, field: str, example: Fields) -> str | Failure:
    """The text that a row gives to the task."""
    if line.fields is None:
        return Failure(line.error)
    return unfit(list(line.fields), field, example) or checked(line.fields[field], field)


def read(path: Path, offset: int, first: int, count: int, name: str) -> Lines:
    """So many rows from a byte of a file on, which begins its line `first`; lines without anything are no rows.

    Raises:
        OSError: it cannot be read.
    """
    found: list[Line] = []
    with path.open("rb") as file:
        file.seek(offset)
        for number, line in enumerate(file, start=first + 1):
            if len(found) == count:
                break
            if line.strip():
                found.append(parsed(line, f"{name}:{number}"))
    return Lines(found)


def parsed(line: bytes, at: str) -> Line:
    """A line as a row, without the mark of an earlier failure."""
    raw = line.decode("utf-8", "backslashreplace").rstrip("\r\n")
    try:
        value = json.loads(line.decode("utf-8-sig"), parse_constant=no_number, parse_float=finite)
    except UnicodeDecodeError as error:
        return Line(at, None, f"the line is not UTF-8 (byte {error.start})", raw)
    except (ValueError, RecursionError) as error:
        return Line(at, None, f"the line is no JSON: {str(error)[:80]}", raw)
    if not isinstance(value, dict):
        return Line(at, None, f"the line is a JSON {type(value).__name__}, where an object was expected", raw)
    if MARK in value:
        if not is_mark(value.pop(MARK)):
            return Line(at, None, f"the row has a field {MARK!r}, which says why a row failed; rename it", raw)
        return unmarked(value, at, raw)
    return Line(at, value, raw=raw)


def unmarked(fields: Fields, at: str, raw: str) -> Line:
    """A row that failed before, as it is without the mark."""
    try:
        return Line(at, fields, raw=spelled(fields))
    except RecursionError:
        return Line(at, None, "the row is nested too deeply to be written without its mark of failure", raw)


def extended(row: str, more: Fields) -> bytes:
    """A row, an object of JSON as it was written, with more fields: what was there stays to the letter."""
    inside, added = row.strip().removeprefix("\ufeff").strip()[:-1].rstrip(), spelled(more)[1:]
    return f"{inside}{'' if inside == '{' else ', '}{added}\n".encode("utf-8", "backslashreplace")


def no_number(name: str) -> NoReturn:
    """NaN and Infinity: Python reads them, JSON (RFC 8259, section 6) has none."""
    raise ValueError(f"{name} is no number there")


def finite(text: str) -> float:
    """A number with a fraction or an exponent.

    Raises:
        ValueError: it is too large; as infinity it could not be written again.
    """
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large a number")
    return value


def encoded(rows: Iterator[Fields]) -> bytes:
    """Rows as JSON Lines; what JSON has no type for, such as a date, becomes its text."""
    return "".join(spelled(row) + "\n" for row in rows).encode("utf-8", "backslashreplace")


def spelled(row: Fields) -> str:
    """One row."""
    try:
        return json.dumps(row, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:  # a number that is none, from Parquet
        return json.dumps(without_nan(row), ensure_ascii=False, default=str)


def without_nan(value: Any) -> Any:
    """The same with null for what is no number."""
    if isinstance(value, dict):
        return {str(key): without_nan(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
