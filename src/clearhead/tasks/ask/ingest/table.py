"""Tables of values (CSV, TSV): every row is a passage, spoken with the names of its columns."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from clearhead.errors import DataError
from clearhead.tasks.ask.ingest.block import Block, text_of, tidy

if TYPE_CHECKING:
    import _csv

FIELD = 2**20  # characters of one value
DELIMITERS = ",;\t|"
QUOTED = re.compile(rf'(?:(?<=[{DELIMITERS}\n])|\A)"(?:[^"]|"")*"(?=[{DELIMITERS}\r\n]|\Z)')  # a whole value


def blocks(data: bytes) -> Iterator[Block]:
    """The rows of a table whose first row names the columns; a quotation mark out of place is read as it stands.

    Raises:
        DataError: no text, or no table.
    """
    text = text_of(data)
    yield from rows(csv.reader(io.StringIO(text), delimiter=delimiter(text)))


def tabbed(data: bytes) -> Iterator[Block]:
    """The same of values between tabs, where quotation marks are as good as any letter; errors as `blocks`."""
    yield from rows(csv.reader(io.StringIO(text_of(data)), delimiter="\t", quoting=csv.QUOTE_NONE))


def rows(reader: "_csv.Reader") -> Iterator[Block]:
    """The rows in words; errors as `blocks`."""
    csv.field_size_limit(FIELD)
    columns: list[str] | None = None
    try:
        line = 1
        for row in reader:
            values = [tidy(value) for value in row]
            if columns is None and any(values):
                columns = values
            elif columns is not None and (said := spoken_row(columns, values)):
                yield Block(text=said, line=line, alone=True)
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"it is no table from line {reader.line_num} on: {error}") from None


def delimiter(text: str) -> str:
    """What stands between the values: of those that are usual, the one that the first row has most of."""
    bare = QUOTED.sub("", text[:FIELD])  # what stands between quotation marks parts nothing
    first = next((line for line in bare.split("\n") if line.strip()), "")
    return max(DELIMITERS, key=first.count)


def spoken_row(columns: Sequence[str], row: Sequence[str]) -> str:
    """A row in words: `name: value; name: value`. Empty values are left out, values without a name kept."""
    pairs = [(name, value) for name, value in zip_longest(columns, row, fillvalue="") if value]
    return "; ".join(f"{name}: {value}" if name else value for name, value in pairs)
