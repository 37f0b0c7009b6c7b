"""From a recipe's list of sources to checked records, one after the other; nothing is held but the record at hand."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from clearhead.errors import DataError
from clearhead.training.data.checks import Checks, Seen, find
from clearhead.training.data.readers.base import Reading, SourceBase
from clearhead.training.data.readers.columns import Columns
from clearhead.training.data.readers.hub import Hub
from clearhead.training.data.readers.json_lines import JsonLines
from clearhead.training.data.readers.parallel import Parallel
from clearhead.training.data.readers.parquet import Parquet
from clearhead.training.data.readers.plain_text import PlainText
from clearhead.training.data.readers.spans import Spans
from clearhead.training.data.readers.table import Table
from clearhead.training.data.readers.treebank import Treebank
from clearhead.training.data.records import Fault, Record, Row
from clearhead.training.data.report import Report, Tally
from clearhead.training.data.schema import Strict

Source = Annotated[
    Parallel | Table | JsonLines | Parquet | Hub | PlainText | Columns | Spans | Treebank, Field(discriminator="kind")
]
REMEDIES = {
    "broken_utf8": "convert the file to UTF-8",
    "endless": "cut the line, raise checks.max_bytes",
    "columns": "mend the line",
    "invalid": "mend the line",
    "labels": "mend the labels",
}


class DataConfig(Strict):
    """Sources, read one after the other, and what to do about bad records in them."""

    sources: Annotated[tuple[Source, ...], Field(strict=False, min_length=1)] = Field(
        description="Where records come from; each has a kind, and the keys of that kind."
    )
    checks: Checks = Field(
        default=Checks(), description="What to do about each kind of bad record: error, drop or keep."
    )


def read_all(data: DataConfig, report: Report) -> Iterator[Record]:
    """The records of all sources; a duplicate may be one of another source.

    Raises:
        DataError: a bad record that the recipe calls an error, or a source that cannot be read or holds nothing.
        MissingDependencyError: a kind that needs a package which is not installed.
    """
    seen = Seen()
    for source in data.sources:
        yield from read(source, report, checks=data.checks, seen=seen)


def read(
    source: SourceBase,
    report: Report,
    *,
    checks: Checks = Checks(),  # noqa: B008  frozen
    seen: Seen | None = None,
) -> Iterator[Record]:
    """The records of one source that pass the checks, as often as it is to be repeated; the report counts them once.

    Raises:
        DataError, MissingDependencyError: as `read_all`.
    """
    seen = Seen() if seen is None else seen
    again = checks.duplicate != "keep" and source.repeat > 1
    for time in range(source.repeat):
        known = seen.copy() if again and time < source.repeat - 1 else seen  # each time they are new once more
        tally = Tally() if time else report.of(source.title)
        if not time:
            tally.repeat = source.repeat
        yield from once(source, Reading(checks, report), tally, known)


def once(source: SourceBase, reading: Reading, tally: Tally, seen: Seen) -> Iterator[Record]:
    """The records of one source that pass the checks."""
    before = tally.kept
    for row in source.rows(reading):
        tally.read += 1
        fault = row.fault or judged(row, reading.checks, seen)
        if row.record is None or fault is not None:
            refuse(fault or Fault("empty", "there is nothing"), row.place, reading.checks, tally)
        else:
            tally.kept += 1
            yield row.record
            if source.limit is not None and tally.kept - before >= source.limit:
                return
    if tally.kept == before:
        raise DataError(nothing(source, tally))


def judged(row: Row, checks: Checks, seen: Seen) -> Fault | None:
    """What the checks say about a record."""
    if row.record is None or row.part:
        return None
    fault = find(row.record, checks)
    if fault is None and checks.duplicate != "keep" and seen.again(row.record):
        fault = Fault("duplicate", "the record came before")
    return fault


def refuse(fault: Fault, place: str, checks: Checks, tally: Tally) -> None:
    """Drop a record and count it.

    Raises:
        DataError: the recipe calls it an error.
    """
    if checks.action(fault.reason) == "error":
        remedy = REMEDIES.get(fault.reason, "mend the record")
        raise DataError(f"{place}: {fault.detail}; {remedy}, or have such records dropped: checks.{fault.reason}: drop")
    tally.drop(fault.reason, f"{place}: {fault.detail}")


def nothing(source: SourceBase, tally: Tally) -> str:
    """Why a source gave no record."""
    if not tally.read:
        return f"{source.title} holds no record; look at the file, and at the keys of this source"
    reasons = ", ".join(f"{reason} {drops.count}" for reason, drops in sorted(tally.drops.items()))
    first = next(iter(tally.drops.values())).examples[0]
    return f"{source.title}: all {tally.read} records were dropped ({reasons}; the first is {first}); ease the checks"
