"""Texts with annotated spans, a JSON object a line, as annotation tools write them; read as words with IOB2 labels.

A word is a run of letters and digits, or one other character; a span's ends cut words too, so that labels fit exactly.
"""

import re
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from clearhead.training.data.readers.base import FileSource, Reading
from clearhead.training.data.readers.json_lines import parsed
from clearhead.training.data.records import Fault, Row

WORD = re.compile(r"\w+|[^\w\s]")
Span = tuple[int, int, str]  # first character, the one after the last, label


class Spans(FileSource):
    """A file with a text and its spans on each line."""

    kind: Literal["spans"] = "spans"
    text: str = Field(default="text", description="The key of the text.")
    spans: str = Field(default="spans", description="The key of its spans: objects, or lists of [start, end, label].")
    start: str = Field(default="start", description="In a span, the key of its first character, counted from 0.")
    end: str = Field(default="end", description="In a span, the key of the character after its last.")
    label: str = Field(default="label", description="In a span, the key of its label.")

    def rows(self, reading: Reading) -> Iterator[Row]:
        """A record of tokens and labels for each line."""
        for path in self.files():
            for line in reading.lines(path):
                place = f"{path}:{line.number}"
                entry = line.fault or parsed(line.text)
                yield Row(place, None, entry) if isinstance(entry, Fault) else self.row(place, entry)

    def row(self, place: str, entry: dict[str, Any]) -> Row:
        """One object as a record."""
        text, listed = entry.get(self.text), entry.get(self.spans)
        if not isinstance(text, str) or not isinstance(listed, list):
            return Row(place, None, Fault("invalid", f"there is no text {self.text!r} with a list {self.spans!r}"))
        spans: list[Span] = []
        for item in listed:
            span = self.span(item)
            if span is None:
                return Row(place, None, Fault("invalid", f"{str(item)[:60]} is no span of start, end and label"))
            spans.append(span)
        fault = misplaced(spans, text)
        if fault is not None:
            return Row(place, None, fault)
        tokens, labels = cut(text, sorted(spans))
        return Row(place, {"tokens": tokens, "labels": labels})

    def span(self, item: Any) -> Span | None:
        """A span in either form."""
        if isinstance(item, dict):
            item = [item.get(self.start), item.get(self.end), item.get(self.label)]
        if not isinstance(item, list) or len(item) != 3:
            return None
        start, end, label = item
        numbers = isinstance(start, int) and isinstance(end, int) and not isinstance(start, bool)
        return (start, end, label) if numbers and isinstance(label, str) and label else None


def misplaced(spans: list[Span], text: str) -> Fault | None:
    """Why spans cannot be those of a text."""
    last = 0
    for start, end, label in sorted(spans):
        if not 0 <= start < end <= len(text):
            return Fault("labels", f"span {start} to {end} ({label[:40]}) is not in a text of {len(text)} characters")
        if start < last:
            return Fault("labels", f"span {start} to {end} ({label[:40]}) overlaps the one before it")
        if not text[start:end].strip():
            return Fault("labels", f"span {start} to {end} ({label[:40]}) holds no word")
        last = end
    return None


def cut(text: str, spans: list[Span]) -> tuple[list[str], list[str]]:
    """Words and their labels; spans in order, without overlap."""
    tokens: list[str] = []
    labels: list[str] = []
    place = 0
    for start, end, label in [*spans, (len(text), len(text), "")]:
        outside, inside = WORD.findall(text, place, start), WORD.findall(text, start, end)
        tokens += outside + inside
        labels += ["O"] * len(outside) + [f"{'I' if n else 'B'}-{label}" for n in range(len(inside))]
        place = end
    return tokens, labels
