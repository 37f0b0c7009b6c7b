"""What may be wrong with a record, and what the recipe says about it: an error, a counted skip, or nothing.

Readers find what a file's form allows (bytes, lines, columns, JSON); the rest is looked at here, on whole records.
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from clearhead.training.data.records import Fault, Reason, Record
from clearhead.training.data.schema import Strict

Action = Literal["error", "drop"]
Choice = Literal["error", "drop", "keep"]
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # all but tab, newline and carriage return
HALF = re.compile(r"[\ud800-\udfff]")  # JSON can spell half a character


class Checks(Strict):
    """What to do about each kind of bad record: stop with an error, drop it and count it, or keep it."""

    broken_utf8: Action = Field(default="error", description="Bytes that are no UTF-8.")
    endless: Action = Field(default="error", description="A line (or a document) of more than max_bytes.")
    columns: Action = Field(default="error", description="Another number of columns than the first row has.")
    invalid: Action = Field(default="error", description="A line that is no JSON or CSV, or lacks a field.")
    labels: Action = Field(
        default="error", description="Labels that follow no scheme, or spans that lie outside their text."
    )
    empty: Choice = Field(default="drop", description="A field without text.")
    control: Choice = Field(default="drop", description="Control characters other than tab and the ends of lines.")
    too_long: Action = Field(default="drop", description="More than max_characters or max_words.")
    too_short: Action = Field(default="drop", description="Fewer than min_characters or min_words.")
    ratio: Action = Field(default="drop", description="Source and target that differ in length by more than max_ratio.")
    identical: Choice = Field(default="keep", description="A target that equals its source.")
    duplicate: Choice = Field(default="keep", description="A record that came before, in this source or another.")
    max_bytes: int = Field(default=1_000_000, ge=1, description="The longest line, or document, that is read.")
    max_characters: int | None = Field(default=None, ge=1, description="The longest text of a field, in characters.")
    min_characters: int | None = Field(default=None, ge=1, description="The shortest text of a field, in characters.")
    max_words: int | None = Field(
        default=None, ge=1, description="The longest text of a field, in words between spaces."
    )
    min_words: int | None = Field(
        default=None, ge=1, description="The shortest text of a field, in words between spaces."
    )
    max_ratio: float | None = Field(
        default=None, gt=1, description="Characters of the longer field to those of the shorter."
    )

    def action(self, reason: Reason) -> Choice:
        """What the recipe says about this kind of fault."""
        action: Choice = getattr(self, reason)
        return action


class Seen:
    """Records that came before, as 64 bits of a hash each: about 60 bytes of memory a record."""

    def __init__(self, hashes: set[bytes] | None = None) -> None:
        self.hashes = set[bytes]() if hashes is None else hashes

    def copy(self) -> "Seen":
        """The same, to go on from twice."""
        return Seen(set(self.hashes))

    def again(self, record: Record) -> bool:
        """Whether this record came before; from now on it has."""
        text = "\x1e".join(v if isinstance(v, str) else "\x1f".join(v) for v in record.values())
        key = hashlib.blake2b(text.encode(), digest_size=8).digest()
        if key in self.hashes:
            return True
        self.hashes.add(key)
        return False


def find(record: Record, checks: Checks) -> Fault | None:
    """The first fault of a record that the recipe does not keep; duplicates are looked for by `Seen`."""
    return next((fault for fault in faults(record, checks) if checks.action(fault.reason) != "keep"), None)


def faults(record: Record, checks: Checks) -> Iterator[Fault]:
    """All that is wrong with a record."""
    for name, value in record.items():
        joined = value if isinstance(value, str) else " ".join(value)
        if not joined or joined.isspace():
            yield Fault("empty", f"{name} is empty")
        if found := HALF.search(joined):
            yield Fault("broken_utf8", f"{name} holds \\u{ord(found[0]):04x}, half a character")
        if found := CONTROL.search(joined):
            yield Fault("control", f"{name} holds the control character U+{ord(found[0]):04X}")
        yield from lengths(name, value, joined, checks)
    source, target = record.get("source"), record.get("target")
    if isinstance(source, str) and isinstance(target, str):
        yield from of_pair(source, target, checks)


def lengths(name: str, value: str | list[str], joined: str, checks: Checks) -> Iterator[Fault]:
    """A field that is too long or too short."""
    limits: list[tuple[str, int | None, int | None]] = [
        ("characters", checks.max_characters, checks.min_characters),
        ("words", checks.max_words, checks.min_words),
    ]
    for unit, most, least in limits:
        if most is None and least is None:
            continue
        length = len(joined) if unit == "characters" else len(joined.split() if isinstance(value, str) else value)
        if most is not None and length > most:
            yield Fault("too_long", f"{name} has {length} {unit}; max_{unit} is {most}")
        if least is not None and length < least:
            yield Fault("too_short", f"{name} has {length} {unit}; min_{unit} is {least}")


def of_pair(source: str, target: str, checks: Checks) -> Iterator[Fault]:
    """What is wrong with two sides that are each in order."""
    if checks.max_ratio is not None:
        short, long = sorted((len(source), len(target)))
        if long > checks.max_ratio * max(short, 1):
            yield Fault(
                "ratio",
                f"source has {len(source)} characters and target {len(target)}; max_ratio is {checks.max_ratio}",
            )
    if source == target:
        yield Fault("identical", "source and target are the same")
