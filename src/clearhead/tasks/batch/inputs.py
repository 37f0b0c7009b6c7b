"""Which files a run reads: those that patterns name, each once, and all of one kind."""

from collections.abc import Sequence
from glob import glob
from pathlib import Path
from typing import Literal

from clearhead.errors import OptionError

Format = Literal["jsonl", "parquet"]
FORMATS: dict[str, Format] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet"}


def find(patterns: Sequence[str], output: Path) -> list[Path]:
    """The files that patterns name, sorted within each; `**` goes through folders, but not into the folder `output`.

    A file that is there under the very name is meant, whatever its characters mean in a pattern. One that has two names
    comes once.

    Raises:
        OptionError: a pattern that names none, files of two kinds, or of another kind.
    """
    found: dict[Path, Path] = {}  # by where a file truly lies
    for pattern in patterns:
        files = named(pattern, output.resolve())
        if not files:
            raise OptionError(f"{pattern!r} names no file; give JSON Lines or Parquet, a pattern in quotes")
        for path in files:
            found.setdefault(path.resolve(), path)
    kinds = {format_of(path) for path in found.values()}
    if len(kinds) > 1:
        raise OptionError("the input has JSON Lines and Parquet together; give files of one kind at a time")
    return list(found.values())


def named(pattern: str, output: Path) -> list[Path]:
    """The files of one pattern; what lies in `output` is no input, for a run would read what it wrote.

    Raises:
        OptionError: it begins with the home of nobody.
    """
    try:
        whole = Path(pattern).expanduser()
    except RuntimeError:
        raise OptionError(f"{pattern!r} is in the home of a user who is not there; give the whole path") from None
    if whole.is_file():
        return [whole]
    names = sorted(glob(str(whole), recursive=True))  # noqa: PTH207  it may be absolute
    files = [path for name in names if (path := Path(name)).is_file()]
    return [path for path in files if output not in path.resolve().parents]


def format_of(path: Path) -> Format:
    """By the ending of its name.

    Raises:
        OptionError: another one.
    """
    if path.suffix.lower() not in FORMATS:
        raise OptionError(f"{path} is neither JSON Lines (.jsonl) nor Parquet (.parquet); rename or convert it")
    return FORMATS[path.suffix.lower()]
