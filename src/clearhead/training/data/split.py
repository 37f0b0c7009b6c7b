"""Data held out by sentence, so that nothing a model is tested on was seen in training, in either language.

Two rules, over sentences in a normal form (case folded, all but letters and digits squeezed to one space), so that
"Go!" and "go" are one sentence:

1. A record's side is a hash of its source sentence: all translations of one sentence lie on one side. With fractions
   the side depends on nothing else, so it stays as it is when data is added or reordered.
2. A record is left out where its target sentence is also the target of a record on a side held out before it (test
   before dev, dev before train). So no source and no target of the test side occurs in dev or train, and none of dev in
   train; the test side itself loses nothing.

The second rule needs a first pass over the data, which keeps 64 bits of each held-out target (and, where a side is
given as a count, of each source). To join what shares a sentence into groups instead would leave out nothing, but in
real data such groups grow: every way to say "Yes." and "OK." would be one.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator

from clearhead.errors import DataError
from clearhead.training.data.readers.base import whole
from clearhead.training.data.records import Record
from clearhead.training.data.report import Report
from clearhead.training.data.schema import Strict

Side = Literal["test", "dev", "train"]
Part = Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, lt=1)]
SIDES: tuple[Side, ...] = ("test", "dev", "train")
OTHER = re.compile(r"[\W_]+")
SPACE = 2.0**64


class SplitConfig(Strict):
    """How much is held out, and by which field."""

    test: Part = Field(
        default=0, description="Of the source sentences, a fraction such as 0.01 or a number such as 2000."
    )
    dev: Part = Field(default=0, description="Likewise.")
    salt: str = Field(default="", description="Another salt, another choice of sentences.")
    field: str = Field(
        default="source", description="The field whose sentence decides the side; text for texts of one field."
    )
    guard: str | None = Field(default="target", description="The field that may not be shared between sides either.")
    first_only: bool = Field(
        default=False,
        description="Of a held-out sentence with several translations, take the first alone into dev and test.",
    )

    @model_validator(mode="after")
    def room(self) -> "SplitConfig":
        """Something must remain to train on."""
        if sum(part for part in (self.test, self.dev) if isinstance(part, float)) >= 1:
            raise ValueError(f"test {self.test} and dev {self.dev} leave nothing to train on")
        return self


@dataclass(frozen=True, slots=True)
class Split:
    """Which side every record belongs to."""

    config: SplitConfig
    borders: tuple[int, int]  # a hash below the first is test, below the second dev
    held: dict[Side, frozenset[int]]  # guarded sentences of the sides that are held out

    def side(self, record: Record) -> Side | None:
        """The side of a record; None where it is left out because of its target."""
        side = side_of(key(record, self.config.field, self.config.salt), self.borders)
        return None if self.shared(record, side) else side

    def shared(self, record: Record, side: Side) -> bool:
        """Whether the guarded sentence of a record on this side belongs to a side held out before it."""
        guarded = guard(record, self.config)
        return guarded is not None and any(guarded in self.held[held] for held in SIDES[: SIDES.index(side)])

    def part(self, records: Iterable[Record], side: Side, report: Report | None = None) -> Iterator[Record]:
        """The records of one side, in their order; the report counts those left out."""
        tally = (report or Report()).of(f"{side} of the split")
        first_only = self.config.first_only and side != "train"
        given = set[int]()
        for record in records:
            source = key(record, self.config.field, self.config.salt)
            if side_of(source, self.borders) != side:
                continue
            tally.read += 1
            if self.shared(record, side):
                tally.drop("shared_target", f"{shown(record, self.config.guard)} is also held out")
            elif first_only and source in given:
                tally.drop("further_target", f"{shown(record, self.config.field)} came before")
            else:
                if first_only:
                    given.add(source)
                tally.kept += 1
                yield record


def shown(record: Record, field: str | None) -> str:
    """A field for the report, cut short."""
    return repr(whole(record[field])[:60]) if field is not None else ""


def plan(records: Callable[[], Iterable[Record]], config: SplitConfig) -> Split:
    """The split of `records()`, which is called once or twice and must give the same each time.

    Raises:
        DataError: fewer sentences than are to be held out, or a record without the field.
    """
    borders = thresholds(records, config)
    held: dict[Side, set[int]] = {"test": set(), "dev": set()}
    if config.guard is not None:
        for record in records():
            side = side_of(key(record, config.field, config.salt), borders)
            guarded = guard(record, config)
            if side != "train" and guarded is not None:
                held[side].add(guarded)
    return Split(config, borders, {side: frozenset(keys) for side, keys in held.items()})


def thresholds(records: Callable[[], Iterable[Record]], config: SplitConfig) -> tuple[int, int]:
    """Below which hash a sentence is test, and below which dev; counts take the smallest hashes there are."""
    parts = (config.test, config.dev)
    if all(isinstance(part, float) or part == 0 for part in parts):
        return int(config.test * SPACE), int((config.test + config.dev) * SPACE)
    hashes = sorted({key(record, config.field, config.salt) for record in records()})
    counts = [part if isinstance(part, int) else round(part * len(hashes)) for part in parts]
    if sum(counts) >= len(hashes):
        raise DataError(f"of {len(hashes)} sentences, test {counts[0]} and dev {counts[1]} leave none to train on")
    return hashes[counts[0]], hashes[sum(counts)]


def side_of(hashed: int, borders: tuple[int, int]) -> Side:
    """The side that a sentence's hash falls on."""
    return "test" if hashed < borders[0] else "dev" if hashed < borders[1] else "train"


def key(record: Record, field: str, salt: str) -> int:
    """64 bits of a hash of a field's sentence.

    Raises:
        DataError: the record has no such field.
    """
    value = record.get(field)
    if value is None:
        raise DataError(f"the split looks at the field {field!r}; records have {', '.join(record)}")
    text = f"{salt}\x1f{normal(whole(value))}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def guard(record: Record, config: SplitConfig) -> int | None:
    """The hash of the guarded field, where a record has it."""
    return key(record, config.guard, "") if config.guard is not None and config.guard in record else None


def normal(sentence: str) -> str:
    """A sentence without what two typists would do differently; itself where nothing would be left."""
    folded = unicodedata.normalize("NFKC", sentence).casefold()
    return OTHER.sub(" ", folded).strip() or folded.strip()
