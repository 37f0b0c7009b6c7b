"""A part done: each of its rows is either a result or a failure, and both are ready to be written.

Whoever computes a part, this process or another machine, does it here; whoever writes it gets bytes. A row that a model
refuses fails by itself: what was computed together is taken apart until the row is found.
"""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clearhead.errors import ClearheadError, MissingDependencyError
from clearhead.tasks.batch.manifest import Manifest
from clearhead.tasks.batch.rows import Part, Reader, Row, parquet
from clearhead.tasks.batch.tasks import Each, Fields, Opened

Told = Callable[[int], None]  # so many more rows are done


@dataclass(frozen=True, slots=True)
class Done:
    """A part's two files, as bytes."""

    number: int
    rows: int
    failures: int
    results: bytes
    failed: bytes  # JSON Lines; empty where nothing failed


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a row has no result."""

    error: str


def do(part: Part, manifest: Manifest, reader: Reader, opened: Opened, told: Told = lambda _: None) -> Done:
    """Read a part, compute it, and write it to bytes.

    Raises:
        DataError: the input has changed.
    """
    rows = reader.rows(part)
    field = manifest.options["field"]
    texts = [text_of(row, field, opened.example) for row in rows]
    sound = [i for i, text in enumerate(texts) if isinstance(text, str)]
    found: list[Fields | Failure] = [text if isinstance(text, Failure) else Failure("") for text in texts]
    told(len(rows) - len(sound))
    made = computed([str(texts[i]) for i in sound], opened.each)
    for i, result in zip(sound, made, strict=True):
        found[i] = result
        told(1)
    good = [{**(row.fields or {}), **got} for row, got in zip(rows, found, strict=True) if not isinstance(got, Failure)]
    bad = [failed(row, got.error) for row, got in zip(rows, found, strict=True) if isinstance(got, Failure)]
    return Done(part.number, len(rows), len(bad), encoded(good, manifest, part, opened), lines(bad))


def text_of(row: Row, field: str, example: Fields) -> str | Failure:
    """The text that a row gives to the task."""
    if row.fields is None:
        return Failure(row.error)
    if field not in row.fields:
        return Failure(f"the row has no field {field!r}")
    if taken := [name for name in example if name in row.fields]:
        return Failure(f"the row has a field {taken[0]!r} already; rename it")
    text = row.fields[field]
    if not isinstance(text, str):
        return Failure(f"{field!r} is {type(text).__name__}, where a text was expected")
    if not text.strip():
        return Failure(f"{field!r} is empty")
    return text


def computed(texts: Sequence[str], each: Each) -> Iterator[Fields | Failure]:
    """A result or a failure for each text, in order."""
    waiting = [texts]
    while waiting:
        some = waiting.pop()
        got = 0
        try:
            for result in each(some) if some else ():
                yield result
                got += 1
            if got < len(some):
                raise RuntimeError(f"the task gave {got} results for {len(some)} texts")
        except (MemoryError, MissingDependencyError):  # no row is to blame
            raise
        except Exception as error:  # whatever a row provokes, the rows beside it are sound
            rest = some[got:]
            if len(rest) == 1:
                yield Failure(said(error))
            else:
                middle = len(rest) // 2
                waiting += [rest[middle:], rest[:middle]]


def said(error: Exception) -> str:
    """An error as the file of failures tells it; one that nobody foresaw by its kind as well."""
    text = " ".join(str(error).split())[:500]
    return text if isinstance(error, ClearheadError) else f"{type(error).__name__}: {text}"


def failed(row: Row, error: str) -> Fields:
    """A row with its error and its place; a line that was no row is kept as it was."""
    return {**(row.fields if row.fields is not None else {"line": row.raw}), "error": error, "at": row.at}


def encoded(rows: Sequence[Fields], manifest: Manifest, part: Part, opened: Opened) -> bytes:
    """Results in the form of the input."""
    if manifest.format == "jsonl":
        return lines(rows)
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = parquet(Path(manifest.sources[part.source].path)).schema_arrow
    for name, value in opened.example.items():
        schema = schema.append(pa.field(name, pa.array([value]).type))
    held = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), held)
    return held.getvalue()


def lines(rows: Sequence[Fields]) -> bytes:
    """Rows as JSON Lines; what JSON has no type for, such as a date, becomes its text."""
    return "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows).encode(
        "utf-8", "backslashreplace"
    )
