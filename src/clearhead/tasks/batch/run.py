"""A task over files, part by part: results in `part-00000.jsonl` and so on, failed rows in `failed.jsonl`.

A part is done when its file is there, and its file is there whole or not at all. The rows of it that failed are written
before, in a folder of their own; a part that was not finished writes them again. So each row comes out once, however
often the run was killed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from clearhead.errors import DataError, OptionError
from clearhead.generation.prefill import Cancelled, never
from clearhead.tasks.batch import manifest as manifests
from clearhead.tasks.batch.files import replace, sweep
from clearhead.tasks.batch.manifest import Manifest
from clearhead.tasks.batch.rows import Part, Reader, find
from clearhead.tasks.batch.tasks import Opened, Wish, check, open_task
from clearhead.tasks.batch.work import Done, do

PART = 1024  # rows
FAILED, FAILURES = "failed.jsonl", "failed"
Progress = Callable[[int, int], None]  # rows that are done, of how many


class Workers(Protocol):
    """What computes parts where this process does not: it gives them back as they are done, in any order."""

    def __call__(self, parts: Sequence[Part], manifest: Manifest, wish: Wish) -> Iterator[Done]:
        """Every part once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a folder holds after a run."""

    folder: Path
    model: str  # empty where other machines computed
    rows: int  # of the input
    done: int  # results and failures
    failures: int
    before: int  # rows that an earlier run had done
    parts: int

    @property
    def complete(self) -> bool:
        """Whether every row is there."""
        return self.done == self.rows


def run(
    wish: Wish,
    inputs: Sequence[str],
    output: Path,
    *,
    field: str = "text",
    part: int = PART,
    workers: Workers | None = None,
    progress: Progress = lambda _done, _of: None,
    cancelled: Cancelled = never,
) -> Outcome:
    """Do a task to every row of the files that `inputs` name, or go on with it where the folder `output` was begun.

    The field `field` of a row is the text; the result's fields are added to the row. `part` rows are written together.
    With `workers`, they compute.

    Raises:
        OptionError: no such task or file, another option than the folder was begun with, or a folder of something else.
        DataError: files that cannot be read, or have changed since.
        OutputError: the disk refuses.
    """
    from filelock import FileLock, Timeout

    check(wish)
    if part < 1:
        raise OptionError(f"part is {part}; give how many rows are written together, from 1 on")
    files = find(inputs)
    make(output)
    try:
        with FileLock(output / ".lock", timeout=0):
            return locked(wish, files, output, field, part, workers, progress, cancelled)
    except Timeout:
        raise OptionError(f"another run works in {output}; wait for it, or choose another --output") from None


def make(output: Path) -> None:
    """The folder, made where it is not there.

    Raises:
        OptionError: it cannot be made, or holds something else.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        others = [path.name for path in output.iterdir() if path.name != ".lock"]
    except OSError as error:
        raise OptionError(f"{output} cannot be written: {error.strerror or error}; choose another --output") from None
    begun = [name for name in others if name.startswith(manifests.NAME)]
    if others and not begun:
        raise OptionError(f"{output} holds {others[0]} and no run; choose an empty folder, or a new one")


def locked(
    wish: Wish,
    files: Sequence[Path],
    output: Path,
    field: str,
    part: int,
    workers: Workers | None,
    progress: Progress,
    cancelled: Cancelled,
) -> Outcome:
    """The same, once nobody else works there."""
    sweep(output)
    options = wish.options() | {"field": field, "part": part}
    known = manifests.read(output)
    if known is None:
        manifest = manifests.begin(files, options, part)
    else:
        manifest = manifests.go_on(output, known, files, options)
    reader = Reader(manifest.sources)
    pending = [each for each in manifest.parts if not (output / manifest.output(each)).is_file()]
    before = manifest.rows - sum(each.rows for each in pending)
    opened = None
    if pending and workers is None:
        opened = open_task(wish)
    if known is None:
        check_field(reader, manifest, field, opened)
        manifests.write(output, manifest)
    (output / FAILURES).mkdir(exist_ok=True)
    sweep(output / FAILURES)
    counter = Counter(before, manifest.rows, progress, cancelled)
    if workers is not None:
        arriving = workers(pending, manifest, wish) if pending else iter(())
    else:
        arriving = (do(each, manifest, reader, opened, counter.more) for each in pending if opened is not None)
    done = before
    try:
        for each in arriving:
            keep(output, manifest, each)
            done += each.rows
            counter.at_least(done)
    except StoppedError:
        pass
    failures = gather(output, manifest) if done == manifest.rows else count(output, manifest)
    return Outcome(
        folder=output,
        model="" if opened is None else opened.model,
        rows=manifest.rows,
        done=done,
        failures=failures,
        before=before,
        parts=len(manifest.parts),
    )


class StoppedError(Exception):
    """Someone asked to stop; the part under way is not kept."""


class Counter:
    """Counts rows, and looks whether to stop."""

    def __init__(self, before: int, of: int, progress: Progress, cancelled: Cancelled) -> None:
        self.done, self.of, self.progress, self.cancelled = before, of, progress, cancelled

    def more(self, rows: int) -> None:
        """So many more are computed."""
        if self.cancelled():
            raise StoppedError
        self.done += rows
        self.progress(self.done, self.of)

    def at_least(self, done: int) -> None:
        """So many are written."""
        self.more(max(0, done - self.done))


def check_field(reader: Reader, manifest: Manifest, field: str, opened: Opened | None) -> None:
    """Refuse a field that the first row does not have, before all rows fail by it.

    Raises:
        DataError: it does not.
    """
    first = reader.rows(manifest.parts[0])[0]
    if first.fields is None:
        raise DataError(f"{first.at}: {first.error}")
    if field not in first.fields:
        there = ", ".join(first.fields)[:160]
        raise DataError(f"{first.at} has no field {field!r}, only {there}; say with --field which holds the text")
    if opened is not None and (taken := [name for name in opened.example if name in first.fields]):
        raise DataError(f"{first.at} has a field {taken[0]!r} already, which is that of the result; rename it")


def keep(output: Path, manifest: Manifest, done: Done) -> None:
    """Write a part: first what failed, then the results, whose file says that both are there."""
    failed = failures_of(output, done.number)
    if done.failed:
        replace(failed, done.failed)
    else:
        failed.unlink(missing_ok=True)
    replace(output / manifest.output(manifest.parts[done.number]), done.results)


def failures_of(output: Path, number: int) -> Path:
    """Where a part's failed rows lie."""
    return output / FAILURES / f"part-{number:05d}.jsonl"


def gather(output: Path, manifest: Manifest) -> int:
    """Put all failed rows into one file, in the order of the input; how many there are."""
    parts = [path for part in manifest.parts if (path := failures_of(output, part.number)).is_file()]
    content = b"".join(path.read_bytes() for path in parts)
    if content:
        replace(output / FAILED, content)
    else:
        (output / FAILED).unlink(missing_ok=True)
    return content.count(b"\n")


def count(output: Path, manifest: Manifest) -> int:
    """Failed rows of the parts that are done."""
    done = [part for part in manifest.parts if (output / manifest.output(part)).is_file()]
    paths = [path for part in done if (path := failures_of(output, part.number)).is_file()]
    return sum(path.read_bytes().count(b"\n") for path in paths)
