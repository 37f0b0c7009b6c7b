"""Plain text: every line a record, or every paragraph, or every document, or one text that goes on through the file."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from clearhead.training.data.lines import Line
from clearhead.training.data.readers.base import FileSource, Reading
from clearhead.training.data.records import Fault, Row

Share = Annotated[float, Field(ge=0, le=1)]


class PlainText(FileSource):
    """A text file."""

    kind: Literal["text"] = "text"
    unit: Literal["line", "paragraph", "document", "file"] = Field(
        default="line",
        description="What a record is: a line, a paragraph (empty lines between), a document (separator between), or "
        "a piece of the file, which comes in pieces that, joined, are the file to the letter, and are not checked.",
    )
    separator: str | None = Field(default=None, min_length=1, description="The line that stands between documents.")
    piece: int = Field(
        default=65_536, ge=1, description="Characters of a piece, more or less: it ends where a line does."
    )

    part: tuple[Share, Share] = Field(
        default=(0.0, 1.0),
        strict=False,
        description="With unit file: from which to which share of its characters, such as [0.9, 1] for the last tenth.",
    )

    @model_validator(mode="after")
    def separated(self) -> "PlainText":
        """A separator belongs to documents, and a part to a text that goes on."""
        if (self.unit == "document") != (self.separator is not None):
            raise ValueError("unit document needs a separator, and no other unit has one")
        if self.part[0] >= self.part[1]:
            raise ValueError(f"part {list(self.part)} is empty; the first share must be below the second")
        if self.unit != "file" and self.part != (0.0, 1.0):
            raise ValueError(f"part is for unit file; the unit is {self.unit}")
        return self

    def rows(self, reading: Reading) -> Iterator[Row]:
        """Records of one field, text."""
        for path in self.files():
            if self.unit == "line":
                yield from (row(path, line.number, line.text.strip(), line.fault) for line in reading.lines(path))
            elif self.unit == "file":
                yield from continuous(path, within(path, reading, self.part), self.piece)
            else:
                yield from blocks(path, reading.lines(path), self.separator, reading.checks.max_bytes)


def row(path: Path, number: int, text: str, fault: Fault | None) -> Row:
    """A text, or what is wrong with it."""
    return Row(f"{path}:{number}", {"text": text} if fault is None else None, fault)


def blocks(path: Path, lines: Iterable[Line], separator: str | None, max_bytes: int) -> Iterator[Row]:
    """Lines joined up to a separator, or to an empty line; what one of them has wrong, all have."""
    block = Block()
    for line in lines:
        if line.fault is not None or line.text.strip() != (separator or ""):
            block.add(line, max_bytes)
        elif block.first:
            yield block.row(path)
            block = Block()
    if block.first:
        yield block.row(path)


@dataclass(slots=True)
class Block:
    """Lines of one text."""

    first: int = 0  # number of its first line
    size: int = 0
    texts: list[str] = field(default_factory=list)
    fault: Fault | None = None

    def add(self, line: Line, max_bytes: int) -> None:
        """One more line, unless the text is faulty or too large already."""
        self.first = self.first or line.number
        self.size += len(line.text) + 1
        self.fault = self.fault or line.fault
        if self.fault is None and self.size > max_bytes:
            self.fault = Fault("endless", f"the text has more than {max_bytes} characters before it ends")
        if self.fault is None:
            self.texts.append(line.text)
        else:
            self.texts.clear()

    def row(self, path: Path) -> Row:
        """The text, or what is wrong with it."""
        return row(path, self.first, "\n".join(self.texts).strip(), self.fault)


def within(path: Path, reading: Reading, part: tuple[float, float]) -> Iterator[Line]:
    """The lines of a part of a file; the first and the last may be parts of lines. The file is read twice for it."""
    if part == (0.0, 1.0):
        yield from reading.lines(path)
        return
    total = sum(len(line.text) + line.ended for line in reading.lines(path))
    begin, end = (int(total * share) for share in part)
    at = 0
    for line in reading.lines(path):
        first, last = max(begin - at, 0), min(end - at, len(line.text) + line.ended)
        at += len(line.text) + line.ended
        if line.fault is not None or first < last:
            yield replace(line, text=line.text[first:last], ended=line.ended and last > len(line.text))


def continuous(path: Path, lines: Iterable[Line], piece: int) -> Iterator[Row]:
    """A file in pieces, newlines kept. A piece ends before a line that begins with a letter or a sign, since tokenizers
    may join spaces and ends of lines into one token, and never look back across a newline from anything else."""
    texts: list[str] = []
    first, size = 1, 0
    for line in lines:
        if line.fault is not None:
            yield Row(f"{path}:{line.number}", None, line.fault)
            continue
        if size >= piece and (line.text[:1].strip() or size >= 16 * piece):
            yield Row(f"{path}:{first}", {"text": "".join(texts)}, part=True)
            texts, size = [], 0
        if not texts:
            first = line.number
        texts.append(line.text + "\n" * line.ended)
        size += len(texts[-1])
    if texts:
        yield Row(f"{path}:{first}", {"text": "".join(texts)}, part=True)
