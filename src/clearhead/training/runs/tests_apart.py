"""What a recipe is tested on, as files of their own, so that other models are measured on the very same examples."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from clearhead.checkpoints.export import new_folder
from clearhead.errors import ConfigError, DataError
from clearhead.training.data.records import Record
from clearhead.training.recipe.recipe import Recipe
from clearhead.training.runs.prepare import Sides


def write_tests(recipe: Recipe, folder: Path) -> dict[Path, int]:
    """Each test of a recipe: of pairs two files with a text a line, NAME.en and NAME.de, of all else NAME.jsonl with a
    record a line. What the split holds out is called held-out. The files and how many examples each has.

    Raises:
        ConfigError: the recipe has no tests, or the folder holds something already.
        DataError: as the recipe's sources.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is there already; give a new folder for the tests")
    tests = Sides(recipe).tests()
    if not tests:
        raise ConfigError(f"{recipe.name} has no tests; give it data.tests, or data.split with a share for test")
    written: dict[Path, int] = {}
    try:
        with new_folder(folder) as draft:
            for name, records in tests.items():
                for file, lines in files(name, records, recipe):
                    with (draft / file).open("w", encoding="utf-8", newline="") as out:
                        out.writelines(f"{line}\n" for line in lines)
                    written[folder / file] = len(records)
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror or error}") from None
    return written


def files(name: str, records: list[Record], recipe: Recipe) -> Iterator[tuple[str, Iterable[str]]]:
    """The names of a test's files, and their lines."""
    if recipe.task == "translation":
        read, said = recipe.data.pair or ("source", "target")
        yield f"{name}.{read}", (line(record, "source") for record in records)
        yield f"{name}.{said}", (line(record, "target") for record in records)
    else:
        yield f"{name}.jsonl", (json.dumps(record, ensure_ascii=False) for record in records)


def line(record: Record, field: str) -> str:
    """A text as one line; breaks within it become spaces."""
    value = record[field]
    return " ".join((value if isinstance(value, str) else " ".join(value)).split("\n")).replace("\r", " ")
