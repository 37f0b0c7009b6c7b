"""Tables: a row a line, columns between tabs or commas, with quotes around texts or without."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from clearhead.errors import DataError
from clearhead.training.data.lines import Line
from clearhead.training.data.readers.base import Column, FileSource, Reading
from clearhead.training.data.records import Fault, Row


class Table(FileSource):
    """A TSV or CSV file."""

    kind: Literal["table"] = "table"
    fields: Annotated[dict[str, Column], Field(min_length=1)] = Field(
        description="Columns by the record's field: {source: 0, target: 1}, or the names of a header."
    )
    delimiter: str = Field(default="\t", min_length=1, max_length=1, description="What stands between columns.")
    quotes: bool = Field(
        default=False, description='Texts may stand in "quotes", and then hold delimiters and ends of lines.'
    )
    header: bool = Field(
        default=False, description="The first line names the columns; so it is where fields are names."
    )

    @property
    def named(self) -> bool:
        """Whether the first line is a header."""
        return self.header or any(isinstance(column, str) for column in self.fields.values())

    @model_validator(mode="after")
    def visible(self) -> "Table":
        """Refuse a delimiter that ends lines or quotes."""
        if self.delimiter in '\n\r"':
            raise ValueError(
                f"delimiter {self.delimiter!r} has another meaning in a table; give a tab, a comma or such"
            )
        return self

    def rows(self, reading: Reading) -> Iterator[Row]:
        """A record for each row.

        Raises:
            DataError: the header lacks a column.
        """
        for path in self.files():
            cells = quoted if self.quotes else plain
            yield from self.of_file(path, cells(reading.lines(path), self.delimiter))

    def of_file(self, path: Path, cells: Iterator[tuple[int, list[str] | Fault]]) -> Iterator[Row]:
        """The rows of one file; the first says how many columns there are."""
        columns, width = None if self.named else self.numbers(path, []), 0
        for number, row in cells:
            place = f"{path}:{number}"
            if isinstance(row, Fault):
                yield Row(place, None, row)
            elif columns is None:
                columns, width = self.numbers(path, row), len(row)
            else:
                width = width or len(row)
                yield self.row(place, row, columns, width)

    def row(self, place: str, cells: list[str], columns: dict[str, int], width: int) -> Row:
        """One row as a record."""
        if cells == [""]:
            return Row(place, None, Fault("empty", "the line is empty"))
        if len(cells) != width:
            return Row(place, None, Fault("columns", f"{len(cells)} columns, where the first row has {width}"))
        if (last := max(columns.values())) >= width:
            raise DataError(f"{place}: there are {width} columns, numbered from 0, and fields name column {last}")
        return Row(place, {field: cells[column].strip() for field, column in columns.items()})

    def numbers(self, path: Path, header: list[str]) -> dict[str, int]:
        """The number of each field's column."""
        names = [name.strip() for name in header]
        found = {}
        for field, column in self.fields.items():
            if isinstance(column, str) and names.count(column) != 1:
                known = ", ".join(names[:20])
                raise DataError(f"{path}: the header names {column!r} {names.count(column)} times; it names {known}")
            found[field] = names.index(column) if isinstance(column, str) else column
        return found


def plain(lines: Iterator[Line], delimiter: str) -> Iterator[tuple[int, list[str] | Fault]]:
    """Line number and cells, where a quote is a character like others."""
    for line in lines:
        yield line.number, line.fault or line.text.removesuffix("\r").split(delimiter)


def quoted(lines: Iterator[Line], delimiter: str) -> Iterator[tuple[int, list[str] | Fault]]:
    """Line number of a row's first line, and cells, as RFC 4180 has them."""
    faulty: list[Line] = []
    taken: list[int] = []

    def texts() -> Iterator[str]:
        """Lines for the parser, which knows nothing of faults."""
        for line in lines:
            if line.fault is None:
                taken.append(line.number)
                yield line.text + "\n"
            else:
                faulty.append(line)

    feed = texts()
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        row: list[str] | Fault
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            row = Fault("invalid", f"no row of a table: {error}")
            reader = csv.reader(feed, delimiter=delimiter, strict=True)
        yield from ((line.number, line.fault) for line in faulty if line.fault is not None)
        yield taken[0] if taken else 1, row or [""]
        faulty.clear()
        taken.clear()
    yield from ((line.number, line.fault) for line in faulty if line.fault is not None)
