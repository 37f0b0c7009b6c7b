"""What a run writes into its folder: parts, and the rows that failed.

A part is done when its file is there, and its file is there whole or not at all. The rows of it that failed are written
before, in a folder of their own; a part that was not finished writes them again.
"""

from collections.abc import Sequence
from pathlib import Path

from clearhead.errors import OptionError
from clearhead.tasks.batch import manifest as manifests
from clearhead.tasks.batch.files import replace
from clearhead.tasks.batch.manifest import Manifest
from clearhead.tasks.batch.rows import Part
from clearhead.tasks.batch.work import Done

FAILED, FAILURES = "failed.jsonl", "failed"


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


def left(output: Path, manifest: Manifest) -> list[Part]:
    """The parts that are not done."""
    return [part for part in manifest.parts if not (output / manifest.output(part)).is_file()]


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
    content = b"".join(path.read_bytes() for path in failed_files(output, manifest.parts))
    if content:
        replace(output / FAILED, content)
    else:
        (output / FAILED).unlink(missing_ok=True)
    return content.count(b"\n")


def count(output: Path, manifest: Manifest) -> int:
    """Failed rows of the parts that are done."""
    done = [part for part in manifest.parts if (output / manifest.output(part)).is_file()]
    return sum(path.read_bytes().count(b"\n") for path in failed_files(output, done))


def failed_files(output: Path, parts: Sequence[Part]) -> list[Path]:
    """The files of failed rows that these parts have."""
    return [path for part in parts if (path := failures_of(output, part.number)).is_file()]
