"""Files of rows, JSON Lines or Parquet: counted and fingerprinted once, then read part by part from any place.

A part is what is written together: so many rows that follow each other in one file. Where it begins is kept, so that a
run which goes on reads nothing of what is done.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any, Literal

from clearhead.errors import DataError, MissingDependencyError, OptionError

Format = Literal["jsonl", "parquet"]
FORMATS: dict[str, Format] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet"}
LONGEST = 64 * 2**20  # bytes of a line
CHUNK = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file of rows as it was when it was counted."""

    path: str
    format: Format
    size: int
    mtime_ns: int
    sha256: str
    rows: int

    @property
    def name(self) -> str:
        """Its name, wherever it lies."""
        return Path(self.path).name


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Rows that follow each other in one file."""

    number: int
    source: int  # which file
    first: int  # row of the file, from 0; of JSON Lines the line
    rows: int
    offset: int = 0  # byte of a file of JSON Lines


@dataclass(frozen=True, slots=True)
class Row:
    """One row, or why it is none."""

    at: str  # file and number, from 1
    fields: dict[str, Any] | None
    error: str = ""
    raw: str = ""


def find(patterns: Sequence[str]) -> list[Path]:
    """The files that patterns name, sorted within each; `**` goes through folders.

    Raises:
        OptionError: a pattern that names none, files of two kinds, or of another kind.
    """
    found: list[Path] = []
    for pattern in patterns:
        names = sorted(glob(str(Path(pattern).expanduser()), recursive=True))  # noqa: PTH207  it may be absolute
        files = [path for name in names if (path := Path(name)).is_file()]
        if not files:
            raise OptionError(f"{pattern!r} names no file; give JSON Lines or Parquet, a pattern in quotes")
        found += [path for path in files if path not in found]
    kinds = {format_of(path) for path in found}
    if len(kinds) > 1:
        raise OptionError("the input has JSON Lines and Parquet together; give files of one kind at a time")
    return found


def format_of(path: Path) -> Format:
    """By the ending of its name.

    Raises:
        OptionError: another one.
    """
    if path.suffix.lower() not in FORMATS:
        raise OptionError(f"{path} is neither JSON Lines (.jsonl) nor Parquet (.parquet); rename or convert it")
    return FORMATS[path.suffix.lower()]


def scan(path: Path, size: int, number: int, source: int) -> tuple[Source, list[Part]]:
    """A file counted, and cut into parts of `size` rows that are numbered from `number` on.

    Raises:
        DataError: it cannot be read, is damaged, or has a line without end.
    """
    format = format_of(path)
    try:
        state = path.stat()
        if format == "jsonl":
            digest, rows, parts = scan_lines(path, size, number, source)
        else:
            digest, rows = digest_of(path), parquet(path).metadata.num_rows
            parts = [
                Part(number=number + i, source=source, first=first, rows=min(size, rows - first))
                for i, first in enumerate(range(0, rows, size))
            ]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    found = Source(
        path=str(path.absolute()),
        format=format,
        size=state.st_size,
        mtime_ns=state.st_mtime_ns,
        sha256=digest,
        rows=rows,
    )
    return found, parts


def scan_lines(path: Path, size: int, number: int, source: int) -> tuple[str, int, list[Part]]:
    """Digest, rows and parts of a file of JSON Lines; lines without anything are no rows."""
    digest, parts = hashlib.sha256(), list[Part]()
    rows = held = line_number = offset = 0
    first, start = 0, 0
    with path.open("rb") as file:
        while line := file.readline(LONGEST + 1):
            if len(line) > LONGEST:
                raise DataError(f"{path}: line {line_number + 1} has more than {LONGEST:,} bytes; is it JSON Lines?")
            digest.update(line)
            line_number, offset = line_number + 1, offset + len(line)
            if line.strip():
                rows, held = rows + 1, held + 1
            if held == size:
                parts.append(Part(number=number + len(parts), source=source, first=first, rows=held, offset=start))
                first, start, held = line_number, offset, 0
    if held:
        parts.append(Part(number=number + len(parts), source=source, first=first, rows=held, offset=start))
    return digest.hexdigest(), rows, parts


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, read piece by piece."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()


class Reader:
    """Reads parts of files; of Parquet the last row group stays in memory, for the next part is mostly in it too."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = sources
        self._group: tuple[int, int, Any] | None = None  # file, row group, table

    def rows(self, part: Part) -> list[Row]:
        """The rows of a part.

        Raises:
            DataError: the file is not what it was.
        """
        source = self.sources[part.source]
        try:
            found = list(self._lines(source, part) if source.format == "jsonl" else self._table(source, part))
        except OSError as error:
            raise DataError(f"{source.path} cannot be read: {error.strerror or error}") from None
        if len(found) != part.rows:
            raise DataError(f"{source.path} has changed while it was read; start again with another --output")
        return found

    def _lines(self, source: Source, part: Part) -> Iterator[Row]:
        with Path(source.path).open("rb") as file:
            file.seek(part.offset)
            number = left = 0
            for number, line in enumerate(file, start=part.first + 1):
                if line.strip():
                    yield parsed(line, f"{source.name}:{number}")
                    left += 1
                if left == part.rows:
                    return

    def _table(self, source: Source, part: Part) -> Iterator[Row]:
        file = parquet(Path(source.path))
        before = 0
        for group in range(file.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            low, high = max(part.first, before), min(part.first + part.rows, before + count)
            if low < high:
                if self._group is None or self._group[:2] != (part.source, group):
                    self._group = (part.source, group, file.read_row_group(group))
                entries = self._group[2].slice(low - before, high - low).to_pylist()
                for number, entry in enumerate(entries, start=low + 1):
                    yield Row(f"{source.name}:{number}", entry)
            before += count


def parsed(line: bytes, at: str) -> Row:
    """A line as a row."""
    raw = line.decode("utf-8", "backslashreplace").rstrip("\r\n")
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return Row(at, None, f"the line is not UTF-8 (byte {error.start})", raw)
    except (ValueError, RecursionError) as error:
        return Row(at, None, f"the line is no JSON: {str(error)[:80]}", raw)
    if not isinstance(value, dict):
        return Row(at, None, f"the line is a JSON {type(value).__name__}, where an object was expected", raw)
    return Row(at, value)


def parquet(path: Path) -> Any:
    """A Parquet file, opened.

    Raises:
        MissingDependencyError: pyarrow is not installed.
        DataError: the file is damaged.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingDependencyError("Parquet needs pyarrow; install it with: pip install 'clearhead[data]'") from None
    try:
        return pq.ParquetFile(path)
    except pa.ArrowException as error:
        raise DataError(f"{path} is no whole Parquet file: {str(error).splitlines()[0][:160]}") from None
