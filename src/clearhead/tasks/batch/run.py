"""A task over files, part by part: results in `part-00000.jsonl` and so on, failed rows in `failed.jsonl`.

Each row comes out once, however often the run was killed: see `keeping`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from clearhead.errors import DataError, OptionError
from clearhead.generation.prefill import Cancelled, never
from clearhead.tasks.batch import manifest as manifests
from clearhead.tasks.batch.files import sweep
from clearhead.tasks.batch.inputs import find
from clearhead.tasks.batch.keeping import FAILURES, count, gather, keep, left, make
from clearhead.tasks.batch.manifest import Manifest
from clearhead.tasks.batch.rows import Part, Reader
from clearhead.tasks.batch.tasks import Opened, Wish, check, example, open_task, settled
from clearhead.tasks.batch.work import Done, do

PART = 1024  # rows
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
    check(wish)
    if part < 1:
        raise OptionError(f"part is {part}; give how many rows are written together, from 1 on")
    files = find(inputs, output)
    make(output)
    with alone(output):
        sweep(output)
        known = manifests.read(output)
        wish = settled(wish, None if known is None else known.options.get("model"))
        manifest, opened = ready(output, known, files, wish, field, part, workers)
        pending = left(output, manifest)
        before = manifest.rows - sum(each.rows for each in pending)
        counter = Counter(before, manifest.rows, progress, cancelled)
        if workers is not None:
            arriving = workers(pending, manifest, wish) if pending else iter(())
        else:
            arriving = here(pending, manifest, opened, counter)
        done = written(arriving, output, manifest, counter)
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


@contextmanager
def alone(output: Path) -> Iterator[None]:
    """While nobody else works in a folder.

    Raises:
        OptionError: somebody does, or nothing may be written there.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(output / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise OptionError(f"another run works in {output}; wait for it, or choose another --output") from None
    except OSError as error:
        raise OptionError(f"{output} cannot be written: {error.strerror or error}; choose another --output") from None
    try:
        yield
    finally:
        lock.release()


def ready(
    output: Path,
    known: Manifest | None,
    files: Sequence[Path],
    wish: Wish,
    field: str,
    part: int,
    workers: Workers | None,
) -> tuple[Manifest, Opened | None]:
    """The run that the folder holds, `known`, or a new one, and its task where this process has something to compute.

    The manifest of a new one is written last: a request that cannot be met leaves nothing behind that binds the next.
    """
    options = wish.options() | {"field": field, "part": part}
    if known is None:
        manifest = manifests.begin(files, options, part)
        check_fields(manifest, wish.task, field)
    else:
        manifest = manifests.go_on(output, known, files, options)
    opened = open_task(wish) if workers is None and left(output, manifest) else None
    if known is None:
        manifests.write(output, manifest)
    (output / FAILURES).mkdir(exist_ok=True)
    sweep(output / FAILURES)
    return manifest, opened


def check_fields(manifest: Manifest, task: str, field: str) -> None:
    """Refuse a field that the first sound row does not have, or one that the result would need, before all rows fail.

    Raises:
        DataError: it is so, or no row is sound.
    """
    reader = Reader(manifest.sources)
    first = next((found for part in manifest.parts if (found := reader.rows(part).first()) is not None), None)
    if first is None:
        raise DataError(f"{manifest.sources[0].path} has no row that is a JSON object; give JSON Lines")
    at, names = first
    if field not in names:
        raise DataError(
            f"{at} has no field {field!r}, only {', '.join(names)[:160]}; say with --field which holds the text"
        )
    if taken := [name for name in example(task) if name in names]:
        raise DataError(f"{at} has a field {taken[0]!r} already, which is that of the result; rename it")


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


def here(pending: Sequence[Part], manifest: Manifest, opened: Opened | None, counter: Counter) -> Iterator[Done]:
    """The parts, computed by this process."""
    reader = Reader(manifest.sources)
    for part in pending:
        assert opened is not None
        yield do(part, manifest, reader, opened, counter.more)


def written(arriving: Iterator[Done], output: Path, manifest: Manifest, counter: Counter) -> int:
    """Write parts as they arrive, until all are there or someone asks to stop; how many rows are done."""
    done = counter.done
    try:
        for each in arriving:
            keep(output, manifest, each)
            done += each.rows
            counter.at_least(done)
    except StoppedError:
        pass
    return done
