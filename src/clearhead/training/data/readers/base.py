"""What every kind of source has: a name, a limit, a number of repetitions, and rows that come one at a time."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from clearhead.errors import DataError
from clearhead.training.data.checks import Checks
from clearhead.training.data.lines import Line, lines, verify
from clearhead.training.data.records import Fault, Record, Row, Value
from clearhead.training.data.report import Report
from clearhead.training.data.schema import Digest, FilePath, Strict

Column = Annotated[int, Field(ge=0)] | Annotated[str, Field(min_length=1)]
Fields = Annotated[dict[str, str], Field(min_length=1)]
WILD = "*?["


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader needs to know beside its own keys."""

    checks: Checks
    report: Report

    def lines(self, path: Path) -> Iterator[Line]:
        """The lines of a file."""
        return lines(path, max_bytes=self.checks.max_bytes, report=self.report)


class SourceBase(Strict, ABC):
    """Keys that every kind of source has."""

    name: str | None = Field(
        default=None, min_length=1, description="What the report calls this source; unset: its files."
    )
    limit: int | None = Field(
        default=None, ge=1, description="At most this many records of it, the first that are kept."
    )
    repeat: int = Field(
        default=1, ge=1, le=1000, description="How many times its records are given, to weigh it against others."
    )

    @property
    def title(self) -> str:
        """What the report calls this source."""
        return self.name or self.where

    @property
    @abstractmethod
    def where(self) -> str:
        """The files or the data set, as the recipe names them."""

    @abstractmethod
    def rows(self, reading: Reading) -> Iterator[Row]:
        """Records and faults, in the order of the data.

        Raises:
            DataError: the data cannot be read at all.
        """


class FileSource(SourceBase):
    """A source that is one file, or several of one kind."""

    path: FilePath = Field(
        description="The file, or several by a pattern such as train-*.jsonl, in the order of names."
    )
    sha256: Digest | None = Field(default=None, description="The digest the file must have; checked before it is read.")

    @model_validator(mode="after")
    def one_digest(self) -> "FileSource":
        """Refuse a digest for several files."""
        if self.sha256 is not None and any(c in self.path.name for c in WILD):
            raise ValueError(f"sha256 is for one file; {self.path} may be several")
        return self

    @property
    def where(self) -> str:
        """The file as the recipe names it."""
        return str(self.path)

    def files(self) -> list[Path]:
        """The files, in the order of their names.

        Raises:
            DataError: none matches, or one has another digest than the recipe says.
        """
        found = matching(self.path)
        verify(found[0], self.sha256)
        return found


def matching(path: Path) -> list[Path]:
    """The file, or those that a pattern names, in the order of their names.

    Raises:
        DataError: none matches.
    """
    path = path.expanduser()
    if any(c in path.name for c in WILD) and not path.exists():
        found = sorted(path.parent.glob(path.name))
        if not found:
            raise DataError(f"{path}: no file has such a name; mend the pattern, or fetch the files first")
        return found
    return [path]


def picked(fields: Mapping[str, str], entry: Mapping[str, Any], place: str) -> Row:
    """The record of an object: a field is a key, or a path of keys with dots between (`translation.en`)."""
    record: Record = {}
    for field, key in fields.items():
        value = entry.get(key, MISSING)
        if value is MISSING:
            value = reached(entry, key)
        fault = wrong(key, value)
        if fault is not None:
            return Row(place, None, fault)
        record[field] = value
    return Row(place, record)


MISSING = object()


def reached(entry: Any, key: str) -> Any:
    """What a path of keys leads to."""
    for part in key.split("."):
        if not isinstance(entry, Mapping) or part not in entry:
            return MISSING
        entry = entry[part]
    return entry


def wrong(key: str, value: Any) -> Fault | None:
    """Why a value is neither a text nor a list of texts."""
    if isinstance(value, str) or (isinstance(value, list) and all(isinstance(v, str) for v in value)):
        return None
    if value is MISSING:
        return Fault("invalid", f"there is no {key!r}")
    if value is None:
        return Fault("empty", f"{key!r} is null")
    return Fault("invalid", f"{key!r} is {type(value).__name__}, neither a text nor a list of texts")


def whole(value: Value) -> str:
    """A field as one text."""
    return value if isinstance(value, str) else " ".join(value)
