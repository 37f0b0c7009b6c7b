"""Files of rows, JSON Lines or Parquet: counted and fingerprinted once, then read part by part from any place.

A part is what is written together: so many rows that follow each other in one file. Where it begins is kept, so that a
run which goes on reads nothing of what is done. A file that changes meanwhile is noticed by its size and time, which
are looked at before and after each part.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from clearhead.digests import sha256_of
from clearhead.errors import DataError
from clearhead.tasks.batch import lines
from clearhead.tasks.batch.found import Failure, Fields
from clearhead.tasks.batch.inputs import Format, format_of
from clearhead.tasks.batch.tables import Tables, rows_of

LONGEST = 64 * 2**20  # bytes of a line


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


class Rows(Protocol):
    """The rows of a part, in whatever form; `found` is what became of each, in order."""

    def __len__(self) -> int: ...

    def first(self) -> tuple[str, list[str]] | None:
        """The place of the first sound row and the names of its fields; None where no row is sound."""

    def texts(self, field: str, example: Fields) -> list[str | Failure]:
        """The text of each row, or why it has none for a task whose results have the fields of `example`."""

    def results(self, found: Sequence[Fields | Failure], example: Fields) -> bytes:
        """A file of the rows that have a result, with its fields added."""

    def failed(self, found: Sequence[Fields | Failure]) -> bytes:
        """The others as JSON Lines; empty where there are none."""


def scan(path: Path, size: int, number: int, source: int) -> tuple[Source, list[Part]]:
    """A file counted, and cut into parts of `size` rows that are numbered from `number` on.

    Raises:
        DataError: it cannot be read, is damaged, has a line without end, or changes meanwhile.
    """
    format = format_of(path)
    try:
        state = path.stat()
        if format == "jsonl":
            digest, rows, parts = scan_lines(path, size, number, source)
        else:
            digest, rows = sha256_of(path), rows_of(path)
            parts = [
                Part(number=number + i, source=source, first=first, rows=min(size, rows - first))
                for i, first in enumerate(range(0, rows, size))
            ]
        if seen(state) != seen(path.stat()):
            raise DataError(f"{path} is being written; wait until it is whole")
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
    """Digest, rows and parts of a file of JSON Lines, read once; lines without anything are no rows."""
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


def seen(state: os.stat_result) -> tuple[int, int]:
    """What a file that is written to changes."""
    return state.st_size, state.st_mtime_ns


class Reader:
    """Reads parts of files, and makes sure that they are still what was counted."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = sources
        self._names = distinct([source.path for source in sources])
        self._known = {i: (source.size, source.mtime_ns) for i, source in enumerate(sources)}
        self._tables = Tables()

    def rows(self, part: Part) -> Rows:
        """The rows of a part.

        Raises:
            DataError: the file is not what it was.
        """
        source, name = self.sources[part.source], self._names[part.source]
        path = Path(source.path)
        try:
            self._check(part.source)
            found: Rows
            if source.format == "jsonl":
                found = lines.read(path, part.offset, part.first, part.rows, name)
            else:
                found = self._tables.read(path, part.first, part.rows, name)
            self._check(part.source)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
        if len(found) != part.rows:
            raise changed(path)
        return found

    def _check(self, number: int) -> None:
        """Another time alone may be another machine's, or a mere touch: then the content says.

        Raises:
            DataError: the file has changed.
            OSError: it is not there.
        """
        source = self.sources[number]
        path = Path(source.path)
        now = seen(path.stat())
        if now == self._known[number]:
            return
        self._tables.forget()
        if now[0] != source.size or sha256_of(path) != source.sha256:
            raise changed(path)
        self._known[number] = now


def changed(path: Path) -> DataError:
    """What to say of a file that is another while it is worked on."""
    return DataError(f"{path} has changed while it was read; restore it, or start again with another --output")


def distinct(paths: Sequence[str]) -> list[str]:
    """Short names of files: the ends of their paths, as long as it takes to tell them apart."""
    parts = [Path(path).parts for path in paths]
    lengths = [1] * len(parts)
    while True:
        names = [str(Path(*part[-length:])) for part, length in zip(parts, lengths, strict=True)]
        often = Counter(names)
        longer = [i for i, name in enumerate(names) if often[name] > 1 and lengths[i] < len(parts[i])]
        if not longer:
            return names
        for i in longer:
            lengths[i] += 1
