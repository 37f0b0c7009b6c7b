"""What every format is read into: blocks of text, each with the headings above it and its place in the file."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from clearhead.errors import DataError

# characters that only steer, and halves of characters, which PDF can hold
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff\ufeff\ufffe\uffff]")
SPACES = re.compile(r"[ \t\r\f\v\u00a0]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A paragraph, a list item, a piece of code, or a row of a table."""

    text: str
    headings: tuple[str, ...] = ()  # the outermost first
    line: int | None = None  # where it begins, from 1; formats without pages
    page: int | None = None  # from 1; formats with pages
    alone: bool = False  # a passage of its own, such as a row: its neighbours say nothing of it
    # where in the text its first line begins, its second, and so on, if that is known
    starts: tuple[int, ...] = field(default=(), compare=False)

    def line_at(self, place: int) -> int | None:
        """The line of the file that a place in the text stands on, as far as lines are known."""
        return self.line if self.line is None else self.line + max(bisect_right(self.starts, place) - 1, 0)


def text_of(data: bytes) -> str:
    """A file of text: UTF-8, or UTF-16 where it says so.

    Raises:
        DataError: it is binary, or in another encoding.
    """
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(f"it is not UTF-8 (byte {error.start}); convert it first") from None
    if "\0" in text[:8192]:
        raise DataError("it is binary, not text; convert it first")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def tidy(text: str) -> str:
    """A text on one line, without characters that only steer a screen."""
    return " ".join(CONTROL.sub(" ", text).split())


def folded(lines: Sequence[str]) -> tuple[str, tuple[int, ...]]:
    """Lines as one, tidied, and where in it each begins."""
    kept, starts, length = [], [], 0
    for line in map(tidy, lines):
        starts.append(length)
        if line:
            kept.append(line)
            length += len(line) + 1
    return " ".join(kept), tuple(starts)


def tidy_lines(text: str) -> str:
    """A text whose lines count, such as code: their indents stay, empty lines at the ends go."""
    lines = [CONTROL.sub(" ", line).rstrip() for line in text.split("\n")]
    while lines and not lines[0].strip():
        del lines[0]
    while lines and not lines[-1].strip():
        del lines[-1]
    return "\n".join(lines)


class Outline:
    """The headings above the place that reading has come to."""

    def __init__(self) -> None:
        self.open: list[tuple[int, str]] = []

    def enter(self, level: int, title: str) -> None:
        """A heading begins; those of its level and below end."""
        while self.open and self.open[-1][0] >= level:
            self.open.pop()
        if title:
            self.open.append((level, title))

    @property
    def path(self) -> tuple[str, ...]:
        """The headings, the outermost first."""
        return tuple(title for _, title in self.open)
