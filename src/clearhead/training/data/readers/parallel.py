"""Parallel text: two files, line n of one is the translation of line n of the other."""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Literal

from pydantic import Field

from clearhead.errors import DataError
from clearhead.training.data.lines import Line, count_lines, verify
from clearhead.training.data.readers.base import Reading, SourceBase
from clearhead.training.data.records import Row
from clearhead.training.data.schema import Digest, FilePath


class Parallel(SourceBase):
    """Two files with one sentence a line."""

    kind: Literal["parallel"] = "parallel"
    source: FilePath = Field(description="The file with the language to translate from; .gz is decompressed.")
    target: FilePath = Field(description="The file with the language to translate into.")
    source_sha256: Digest | None = Field(default=None, description="The digest the source file must have.")
    target_sha256: Digest | None = Field(default=None, description="The digest the target file must have.")

    @property
    def where(self) -> str:
        """Both files."""
        return f"{self.source} + {self.target}"

    def rows(self, reading: Reading) -> Iterator[Row]:
        """A record of source and target for each pair of lines.

        Raises:
            DataError: the files have not equally many lines.
        """
        first, second = self.source.expanduser(), self.target.expanduser()
        verify(first, self.source_sha256)
        verify(second, self.target_sha256)
        if first.is_file() and second.is_file():  # else a pipe, which can be read once
            compare(first, count_lines(first), second, count_lines(second))
        count = 0
        both = zip_longest(reading.lines(first), reading.lines(second))
        for left, right in both:
            if left is None or right is None:
                rest = 1 + sum(1 for _ in both)
                compare(first, count + rest * (left is not None), second, count + rest * (right is not None))
            else:
                count += 1
                yield pair(first, left, second, right)


def compare(first: Path, lines: int, second: Path, others: int) -> None:
    """Refuse files of unequal length: from the first gap on, every pair would be wrong.

    Raises:
        DataError: they are.
    """
    if lines != others:
        raise DataError(
            f"{first} has {lines} lines and {second} has {others}; in parallel text line n of one translates line n of "
            "the other: find the line that is missing"
        )


def pair(first: Path, left: Line, second: Path, right: Line) -> Row:
    """Two lines as one record."""
    for path, line in ((first, left), (second, right)):
        if line.fault is not None:
            return Row(f"{path}:{line.number}", None, line.fault)
    return Row(f"{first}:{left.number}", {"source": left.text.strip(), "target": right.text.strip()})
