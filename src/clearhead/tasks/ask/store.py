"""The contract between a search and whatever keeps the passages: SQLite in one file, or PostgreSQL.

A store holds files, the passages they were cut into, an index of their words and a unit vector of the meaning of each.
One file enters or leaves as a whole, in one transaction: whoever reads meanwhile sees all of it or nothing.

N passages, C the length of a vector.
"""

import json
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from clearhead.executor import Floats
from clearhead.tasks.ask.passages import Passage

LAYOUT = 1  # raised when what is kept changes; an older store is told to be made anew
TITLE = 2.0  # how many times a word of the headings counts, beside one of the text


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """What made a store's vectors and passages; a search must ask in the same way."""

    encoder: str  # the model of meanings
    width: int  # C
    size: int  # tokens of a passage


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A document as it was when it was read."""

    path: str
    size: int  # bytes
    mtime_ns: int
    sha256: str


Row = tuple[Any, ...]  # of a table
Scored = list[tuple[int, float]]  # number of a passage and its score, the best first


class Store(Protocol):
    """Where passages are kept. Errors of the disk or the server are `DataError`."""

    name: str  # for people: a path, or a server without its password

    def kind(self) -> Kind | None:
        """What it was made with; None for an empty one."""

    def begin(self, kind: Kind) -> None:
        """Fix, of an empty store, what it is made with."""

    def files(self) -> dict[str, File]:
        """Every file by its path."""

    def replace(self, file: File, passages: Sequence[Passage], vectors: Floats) -> None:
        """A file enters, with vectors [N, C] of its passages; what was known of that path goes."""

    def touch(self, file: File) -> None:
        """A file has another time or size recorded, but the same content."""

    def remove(self, paths: Iterable[str]) -> None:
        """Files leave, with all that came from them."""

    def by_words(self, words: str, limit: int) -> Scored:
        """The passages with the highest BM25 for a question in plain words."""

    def by_meaning(self, vector: Floats, limit: int) -> Scored:
        """The passages with the highest cosine to a unit vector [C]."""

    def passages(self, numbers: Sequence[int]) -> list[Passage]:
        """These passages, in this order."""

    def vectors(self, numbers: Sequence[int]) -> Floats:
        """Their vectors [N, C], in this order."""

    def count(self) -> int:
        """How many passages there are."""

    def reading(self) -> AbstractContextManager[None]:
        """A while in which nothing changes for this reader, whatever others write."""

    def close(self) -> None:
        """Let go of the file or the server."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def as_passage(row: Row) -> Passage:
    """A passage from its number, file, text, headings as JSON, line and page."""
    _number, file, text, headings, line, page = row
    return Passage(file=file, text=text, headings=tuple(json.loads(headings)), line=line, page=page)


def in_order(rows: Iterable[Row], numbers: Sequence[int]) -> list[Row]:
    """Rows that begin with their number, in the order of `numbers`."""
    found = {row[0]: row for row in rows}
    return [found[number] for number in numbers]
