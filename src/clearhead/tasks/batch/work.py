"""A part done: each of its rows is either a result or a failure, and both are ready to be written.

Whoever computes a part, this process or another machine, does it here; whoever writes it gets bytes. A row that a model
refuses fails by itself: what was computed together is taken apart until the row is found. What the machine does wrong
is no row's fault and ends the run, so that the same command can go on when the machine is sound again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from clearhead.errors import ClearheadError, MissingDependencyError, lacks_memory
from clearhead.tasks.batch.found import Failure, Fields, failure
from clearhead.tasks.batch.manifest import Manifest
from clearhead.tasks.batch.rows import Part, Reader
from clearhead.tasks.batch.tasks import Each, Opened, example

Told = Callable[[int], None]  # so many more rows are done


@dataclass(frozen=True, slots=True)
class Done:
    """A part's two files, as bytes."""

    number: int
    rows: int
    failures: int
    results: bytes
    failed: bytes  # JSON Lines; empty where nothing failed


def do(part: Part, manifest: Manifest, reader: Reader, opened: Opened, told: Told = lambda _: None) -> Done:
    """Read a part, compute it, and write it to bytes.

    Raises:
        DataError: the input has changed.
        Exception: what the machine did wrong, or what every row of the part was met with and nobody foresaw.
    """
    rows = reader.rows(part)
    fields = example(manifest.options["task"])
    texts = rows.texts(manifest.options["field"], fields)
    sound = [i for i, text in enumerate(texts) if isinstance(text, str)]
    found: list[Fields | Failure] = [text if isinstance(text, Failure) else Failure("") for text in texts]
    told(len(rows) - len(sound))
    made = computed([str(texts[i]) for i in sound], opened.each)
    for i, result in zip(sound, made, strict=True):
        found[i] = result
        told(1)
    refuse_defect([found[i] for i in sound])
    bad = sum(isinstance(each, Failure) for each in found)
    return Done(part.number, len(rows), bad, rows.results(found, fields), rows.failed(found))


def computed(texts: Sequence[str], each: Each) -> Iterator[Fields | Failure]:
    """A result or a failure for each text, in order; errors of the machine as they come."""
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
        except Exception as error:  # whatever a row provokes, the rows beside it are sound
            if is_of_machine(error):
                raise
            rest = some[got:]
            if len(rest) == 1:
                yield failure(error)
            else:
                middle = len(rest) // 2
                waiting += [rest[middle:], rest[:middle]]


def is_of_machine(error: Exception) -> bool:
    """Whether no row is to blame: memory, files, the network, a package that is not there."""
    if isinstance(error, ClearheadError):
        return isinstance(error, MissingDependencyError) or error.exit_status != ClearheadError.exit_status
    return isinstance(error, OSError) or lacks_memory(error)


def refuse_defect(found: Sequence[Fields | Failure]) -> None:
    """Where one error that nobody foresaw met several rows and no row passed, the rows are hardly the reason.

    Raises:
        Exception: that error.
    """
    failures = [each for each in found if isinstance(each, Failure)]
    if len(found) < 2 or len(failures) < len(found) or len({each.error for each in failures}) > 1:
        return
    if not failures[0].is_foreseen and failures[0].cause is not None:
        raise failures[0].cause
