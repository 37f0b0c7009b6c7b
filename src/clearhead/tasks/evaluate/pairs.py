"""Pairs of texts, an input and what is expected for it, from whatever form they come in.

- two files, line n of one belonging to line n of the other: `--data test.en --references test.de`. Files that are
  named by language find each other: `--data test.en` with `--to de` takes `test.de` beside it, and a folder will do
  where it holds one such pair. So lie newstest, Multi30k and the Tatoeba test sets of OPUS-MT;
- a table with tabs between its columns, the first two of which count (Tatoeba through manythings.org);
- JSON Lines with named fields: `--fields source,target`. Known names are found without it, and so is
  {"translation": {"en": ..., "de": ...}}.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearhead.errors import DataError, OptionError
from clearhead.tasks.evaluate.files import Text, is_json_lines, objects, read
from clearhead.tasks.evaluate.report import DataFile

# Fields of an input and of what is expected, as published sets name them.
KNOWN = (
    ("source", "target"),
    ("src", "tgt"),
    ("source", "reference"),
    ("input", "expected"),
    ("input", "output"),
    ("document", "summary"),
    ("dialogue", "summary"),
    ("article", "highlights"),
    ("question", "answer"),
)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Inputs and what is expected, row by row, and the files they were read from."""

    inputs: list[str]
    expected: list[str]
    files: list[DataFile]

    def first(self, limit: int | None) -> "Pairs":
        """The first rows alone; all of them without a limit."""
        return Pairs(self.inputs[:limit], self.expected[:limit], self.files)


def read_pairs(
    data: Path,
    *,
    references: Path | None = None,
    fields: Sequence[str] | None = None,
    from_: str | None = None,
    to: str | None = None,
) -> Pairs:
    """The pairs of a file, of two, or of a folder, in the form that their content shows.

    Raises:
        DataError: no such file, one in no known form, a row without its field, or two files of unequal length.
        OptionError: fields of a file that has none.
    """
    if fields is not None and len(fields) != 2:
        raise OptionError(f"fields are {','.join(fields)!r}; give two names, of the input and of what is expected")
    if data.is_dir():
        data, references = pair_in(data, from_, to, references)
    text = read(data)
    if references is not None:
        return parallel(text, read(references))
    if is_json_lines(text):
        return from_objects(text, fields, from_, to)
    if fields is not None:
        raise OptionError(f"fields name keys of JSON Lines, and {data} is none; drop --fields")
    if (beside := sibling(data, to)) is not None:
        return parallel(text, read(beside))
    return from_table(text)


def parallel(source: Text, target: Text) -> Pairs:
    """Line by line, from two files."""
    inputs, expected = source.lines(), target.lines()
    if len(inputs) != len(expected):
        raise DataError(
            f"{source.path} has {len(inputs)} lines and {target.path} {len(expected)}; give files whose lines belong "
            "together"
        )
    return Pairs(inputs, expected, [source.file(len(inputs)), target.file(len(expected))])


def from_table(text: Text) -> Pairs:
    """The first two columns of a table with tabs."""
    rows = [line.split("\t") for line in text.lines()]
    if short := next((i for i, row in enumerate(rows, start=1) if len(row) < 2), None):
        raise DataError(
            f"{text.path}:{short} has no second column after a tab; give a table, JSON Lines, or a second file with "
            "--references"
        )
    return Pairs([row[0] for row in rows], [row[1] for row in rows], [text.file(len(rows))])


def from_objects(text: Text, fields: Sequence[str] | None, from_: str | None, to: str | None) -> Pairs:
    """Two fields of JSON Lines."""
    found = list(objects(text))
    source, target = fields or known_fields(found[0][1], text.path, from_, to)
    inputs = [field(entry, source, f"{text.path}:{number}") for number, entry in found]
    expected = [field(entry, target, f"{text.path}:{number}") for number, entry in found]
    return Pairs(inputs, expected, [text.file(len(found))])


def known_fields(entry: Mapping[str, Any], path: Path, from_: str | None, to: str | None) -> tuple[str, str]:
    """The names of an input and of what is expected, from those that an object has."""
    if isinstance(inner := entry.get("translation"), dict):
        names = list(inner)
        target = to if to in inner else None
        source = from_ if from_ in inner else next((name for name in names if name != target), None)
        if source and target:
            return f"translation.{source}", f"translation.{target}"
    for source, target in KNOWN:
        if source in entry and target in entry:
            return source, target
    raise DataError(f"{path} has fields {', '.join(entry)[:120]}; say with --fields INPUT,EXPECTED which to take")


def field(entry: Mapping[str, Any], name: str, place: str) -> str:
    """A text by its key, or by a key within a key (`translation.en`).

    Raises:
        DataError: it is missing or no text.
    """
    value: Any = entry
    for part in [name] if name in entry else name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if not isinstance(value, str):
        raise DataError(f"{place}: {name!r} is {type(value).__name__}; every row needs a text there")
    return value


def sibling(path: Path, to: str | None) -> Path | None:
    """The file beside `path` that has the same name in language `to`: test.de beside test.en."""
    try:
        found = path.with_suffix(f".{to}") if to and path.suffix else None
    except ValueError:  # a language is no part of a path
        raise OptionError(f"{to!r} is no language; give a code, such as de") from None
    return found if found is not None and found != path and found.is_file() else None


def pair_in(folder: Path, from_: str | None, to: str | None, references: Path | None) -> tuple[Path, Path | None]:
    """The one pair of files that a folder holds for these languages, or its one file.

    Raises:
        DataError: none or several.
    """
    if references is not None:
        raise OptionError(f"--references belong to a file, and {folder} is a folder; give the file with --data")
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(("_", ".")))
    ours = [path for path in files if path.suffix == f".{from_ or 'en'}" and sibling(path, to) is not None]
    if len(ours) == 1:
        return ours[0], sibling(ours[0], to)
    if not ours and len(files) == 1:
        return files[0], None
    names = ", ".join(path.name for path in ours or files) or "nothing"
    raise DataError(f"{folder} holds {names}; name one of its files with --data")
