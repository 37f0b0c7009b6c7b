"""CoNLL's column format: a word a line with its labels, an empty line between sentences (Tjong Kim Sang and De Meulder
2003, cs/0306050).

The shared task's own files are IOB1: a chunk begins with I-, and with B- only where it follows another of its type.
Everything after this file is IOB2: every chunk begins with B-.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field

from clearhead.training.data.lines import Line
from clearhead.training.data.readers.base import FileSource, Reading
from clearhead.training.data.records import Fault, Row

Scheme = Literal["iob1", "iob2", "any"]
CASES: dict[str | None, Callable[[str], str]] = {None: str, "lower": str.lower, "upper": str.upper}


class Columns(FileSource):
    """A file with a word a line."""

    kind: Literal["conll"] = "conll"
    tokens: int = Field(default=0, description="The column of words, from 0; negative from the last.")
    labels: int = Field(default=-1, description="The column of labels, from 0; negative from the last.")
    scheme: Scheme = Field(
        default="iob2", description="How labels are written: iob1 is turned into iob2, any is left as it is."
    )
    delimiter: str | None = Field(
        default=None, min_length=1, description="What stands between columns; unset: any white space."
    )
    prefix: str = Field(
        default="", description="What stands before every word and is left out, such as en: in WikiANN."
    )
    case: Literal["lower", "upper"] | None = Field(
        default=None, description="Words in that case: the file read once more, as people write who do not care."
    )
    types: dict[str, str | None] = Field(
        default_factory=dict,
        description="Other names for types of labels, such as {person: PER}; null leaves a type out.",
    )

    def rows(self, reading: Reading) -> Iterator[Row]:
        """A record of tokens and labels for each sentence."""
        for path in self.files():
            yield from self.of_file(path, reading.lines(path), reading.checks.max_bytes)

    def of_file(self, path: Path, lines: Iterable[Line], max_bytes: int) -> Iterator[Row]:
        """The sentences of one file."""
        sentence = Sentence()
        for line in lines:
            if line.fault is None and is_border(line.text):
                if sentence.first:
                    yield sentence.row(path, self.scheme)
                    sentence = Sentence()
                continue
            sentence.add(line, self.cells(line), max_bytes)
        if sentence.first:
            yield sentence.row(path, self.scheme)

    def cells(self, line: Line) -> tuple[str, str] | Fault:
        """The word and the label of a line."""
        if line.fault is not None:
            return line.fault
        cells = line.text.split(self.delimiter)
        try:
            word, label = cells[self.tokens].strip(), cells[self.labels].strip()
        except IndexError:
            asked = f"{self.tokens} and {self.labels}"
            return Fault("columns", f"line {line.number} has {len(cells)} columns, too few for columns {asked}")
        if not word or not label:
            return Fault("columns", f"line {line.number} has an empty column")
        word = word.removeprefix(self.prefix) or word
        return CASES[self.case](word), self.renamed(label)

    def renamed(self, label: str) -> str:
        """A label by the type's other name, if it has one."""
        if label[2:] not in self.types:
            return label
        other = self.types[label[2:]]
        return "O" if other is None else f"{label[:2]}{other}"


def is_border(text: str) -> bool:
    """Whether a line ends a sentence: an empty one, or the mark of a new document."""
    return not text.strip() or text.startswith("-DOCSTART-")


@dataclass(slots=True)
class Sentence:
    """Words so far."""

    first: int = 0  # number of its first line
    tokens: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    size: int = 0
    fault: Fault | None = None

    def add(self, line: Line, cells: tuple[str, str] | Fault, max_bytes: int) -> None:
        """One more line."""
        self.first = self.first or line.number
        self.size += len(line.text) + 1
        if self.fault is None and isinstance(cells, Fault):
            self.fault = cells
        if self.fault is None and self.size > max_bytes:
            self.fault = Fault("endless", f"the sentence has more than {max_bytes} characters before it ends")
        if self.fault is None and not isinstance(cells, Fault):
            self.tokens.append(cells[0])
            self.labels.append(cells[1])

    def row(self, path: Path, scheme: Scheme) -> Row:
        """The sentence, or what is wrong with it."""
        place = f"{path}:{self.first}"
        labels = iob2(self.labels) if scheme == "iob1" else self.labels
        fault = self.fault or (None if scheme == "any" else disorder(labels))
        return Row(place, None, fault) if fault else Row(place, {"tokens": self.tokens, "labels": labels})


def iob2(labels: list[str]) -> list[str]:
    """IOB1 as IOB2: what continues nothing begins."""
    return [
        f"B-{label[2:]}" if label.startswith("I-") and not continues(before, label) else label
        for before, label in zip(["O", *labels], labels, strict=False)
    ]


def continues(before: str, label: str) -> bool:
    """Whether a label may go on with the chunk of the one before it."""
    return before[:2] in ("B-", "I-") and before[2:] == label[2:]


def disorder(labels: list[str]) -> Fault | None:
    """The first label that IOB2 does not allow."""
    for n, (before, label) in enumerate(zip(["O", *labels], labels, strict=False), start=1):
        if label != "O" and (label[:2] not in ("B-", "I-") or len(label) < 3):
            return Fault("labels", f"the label {label[:40]!r} of word {n} is neither O, nor B- or I- with a type")
        if label.startswith("I-") and not continues(before, label):
            return Fault("labels", f"the label {label[:40]!r} of word {n} continues no chunk; is the scheme iob1?")
    return None
