"""A record, which is one example as text by field, and what a reader has to say about the place it came from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Value = str | list[str]
Record = dict[str, Value]  # {"source": ..., "target": ...}, {"text": ...}, {"tokens": [...], "labels": [...]}
Reason = Literal[
    "broken_utf8",
    "endless",
    "columns",
    "invalid",
    "labels",
    "empty",
    "control",
    "too_long",
    "too_short",
    "ratio",
    "identical",
    "duplicate",
]


def reversed_pairs(records: Iterable[Record]) -> Iterator[Record]:
    """Pairs to be read in the other direction."""
    return ({**record, "source": record["target"], "target": record["source"]} for record in records)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a record cannot be used; `detail` says what is there and what was expected."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Row:
    """One record, or the fault that stands in its stead; `place` is file and line."""

    place: str
    record: Record | None
    fault: Fault | None = None
    part: bool = False  # of a text that goes on: not to be judged, nor left out, by itself
