"""Bracketed trees as the Penn Treebank writes them, several a file, each over as many lines as it takes.

A record's one field is the tree on one line, as parsers are trained on it and scored against it: without traces,
function tags, indices and nameless root (`trees.cleaning`). After a tree that cannot be read, the next is taken to
begin where a line begins with a bracket, as in the treebank's own files.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from clearhead.errors import DataError
from clearhead.training.data.lines import Line
from clearhead.training.data.readers.base import WILD, Reading, SourceBase, matching
from clearhead.training.data.records import Fault, Row
from clearhead.training.data.schema import FilePath
from clearhead.training.tasks.parsing import files_between
from clearhead.trees.brackets import ATOM, Reader, bracketed
from clearhead.trees.cleaning import cleaned
from clearhead.trees.tree import Tree

FIELD = "tree"
Number = Annotated[int, Field(ge=0)]
EMPTY = Fault("empty", "the tree has no word, only traces")


class Treebank(SourceBase):
    """A folder of bracketed files, or such files."""

    kind: Literal["treebank"] = "treebank"
    path: FilePath = Field(
        description="With files: the folder. Else a bracketed file, or several by a pattern such as wsj_01*.mrg."
    )
    files: tuple[Number, Number] | None = Field(
        default=None, strict=False, description="Of a folder, the first and the last number in the names of its files."
    )

    @model_validator(mode="after")
    def ordered(self) -> "Treebank":
        """Numbers that leave something to read, of one folder."""
        if self.files is not None and self.files[0] > self.files[1]:
            raise ValueError(f"files {list(self.files)} are none; the first number must not be above the last")
        if self.files is not None and any(c in self.path.name for c in WILD):
            raise ValueError(f"files are those of one folder; {self.path} may be several")
        return self

    @property
    def where(self) -> str:
        """The files as the recipe names them."""
        return str(self.path) if self.files is None else f"{self.path} {self.files[0]}-{self.files[1]}"

    def paths(self) -> list[Path]:
        """The files, in the order of their numbers or names.

        Raises:
            DataError: there is none, or a folder is named without saying which of its files.
        """
        folder = self.path.expanduser()
        if self.files is not None:
            return files_between(folder, *self.files)
        if folder.is_dir():
            raise DataError(f"{folder} is a folder; say which of its files are to be read, such as files: [1, 159]")
        return matching(self.path)

    def rows(self, reading: Reading) -> Iterator[Row]:
        """A record for each tree."""
        for path in self.paths():
            yield from of_file(path, reading.lines(path), reading.checks.max_bytes)


def of_file(path: Path, lines: Iterable[Line], max_bytes: int) -> Iterator[Row]:
    """The trees of one file."""
    some = Trees(max_bytes)
    for line in lines:
        for number, found in some.take(line):
            yield row(f"{path}:{number}", found)
    for number, found in some.end():
        yield row(f"{path}:{number}", found)


def row(place: str, found: Tree | Fault) -> Row:
    """A tree as a record."""
    if isinstance(found, Fault):
        return Row(place, None, found)
    tree = cleaned(found)
    return Row(place, None, EMPTY) if tree is None else Row(place, {FIELD: bracketed(tree)})


@dataclass(slots=True)
class Trees:
    """What of a file is read: a tree that is open, or lines to be passed over after one that cannot be read."""

    max_bytes: int
    reader: Reader = field(default_factory=lambda: Reader("tree"))
    size: int = 0  # characters since the open tree began
    lost: bool = False

    def take(self, line: Line) -> Iterator[tuple[int, Tree | Fault]]:
        """One more line; whatever ends in it, with the number of the line it is named by."""
        if self.lost and line.fault is None and not line.text.startswith("("):
            return
        self.lost = False
        self.size += len(line.text) + 1
        try:
            yield from self.trees(line)
            fault = line.fault or self.endless()
        except DataError as error:
            fault = Fault("invalid", str(error).partition(": ")[2])  # which line it is, is said beside it
        if fault is not None:
            self.reader, self.size, self.lost = Reader("tree"), 0, True
            yield line.number, fault

    def trees(self, line: Line) -> Iterator[tuple[int, Tree]]:
        """The trees that end in a line."""
        for atom in ATOM.findall(line.text) if line.fault is None else ():
            begun = self.reader.opened[0].line if self.reader.opened else line.number
            tree = self.reader.take(atom, line.number)
            if tree is not None:
                self.size = 0
                yield begun, tree

    def endless(self) -> Fault | None:
        """Why the open tree is read no further."""
        if not self.reader.opened or self.size <= self.max_bytes:
            return None
        begun = self.reader.opened[0].line
        return Fault("endless", f"the tree that begins in line {begun} has more than {self.max_bytes} characters")

    def end(self) -> Iterator[tuple[int, Fault]]:
        """A tree that is still open where the file ends."""
        if self.reader.opened:
            number = self.reader.opened[0].line
            yield number, Fault("invalid", "the bracket that opens here is never closed; the text may be cut off")
