"""JSON Lines: an object a line, fields by key."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from pydantic import Field

from clearhead.training.data.readers.base import Fields, FileSource, Reading, picked
from clearhead.training.data.records import Fault, Row


class JsonLines(FileSource):
    """A file with a JSON object on each line."""

    kind: Literal["jsonl"] = "jsonl"
    fields: Fields = Field(description="Keys by the record's field: {text: body}; translation.en is a key in a key.")
    ending: str = Field(default="", description="What ends texts and is left out, such as <|endoftext|>.")

    def rows(self, reading: Reading) -> Iterator[Row]:
        """A record for each line."""
        for path in self.files():
            for line in reading.lines(path):
                place = f"{path}:{line.number}"
                entry = line.fault or parsed(line.text)
                yield Row(place, None, entry) if isinstance(entry, Fault) else self.row(entry, place)

    def row(self, entry: dict[str, object], place: str) -> Row:
        """One object as a record."""
        row = picked(self.fields, entry, place)
        if row.record is None or not self.ending:
            return row
        cut = {f: v.removesuffix(self.ending) if isinstance(v, str) else v for f, v in row.record.items()}
        return replace(row, record=cut)


def parsed(text: str) -> dict[str, object] | Fault:
    """The object of a line."""
    if not text or text.isspace():
        return Fault("empty", "the line is empty")
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        return Fault("invalid", f"no JSON at character {error.pos + 1}: {error.msg}")
    except (RecursionError, ValueError) as error:  # nested too deeply; a number of too many digits
        return Fault("invalid", f"no JSON of sane size: {str(error)[:80]}")
    if not isinstance(value, dict):
        return Fault("invalid", f"a JSON {type(value).__name__}, where an object was expected")
    return value
