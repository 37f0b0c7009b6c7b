"""Rows of styled marks: what a diagram is drawn on, piece by piece, before any of it is printed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.text import Text


@dataclass(frozen=True, slots=True)
class Mark:
    """Characters at a column of a row; a later mark covers an earlier one."""

    column: int
    text: str
    style: str = ""


Row = list[Mark]
Rows = list[Row]


def centred(text: str, column: int, style: str = "") -> Mark:
    """Text with its middle at a column."""
    return Mark(column - len(text) // 2, text, style)


def shifted(rows: Iterable[Row], columns: int) -> Rows:
    """The same rows further to the right."""
    return [[Mark(m.column + columns, m.text, m.style) for m in row] for row in rows]


def beside(left: Rows, right: Rows) -> Rows:
    """Two drawings on the same rows, their last rows level."""
    height = max(len(left), len(right))
    return [a + b for a, b in zip(lifted(left, height), lifted(right, height), strict=True)]


def lifted(rows: Rows, height: int) -> Rows:
    """Empty rows on top, up to a height."""
    return [[] for _ in range(height - len(rows))] + rows


def render(rows: Iterable[Row]) -> Text:
    """The drawing as text, without blanks at the ends of lines."""
    lines = [render_row(row) for row in rows]
    return Text("\n").join(lines)


def render_row(row: Sequence[Mark]) -> Text:
    """One line."""
    width = max((m.column + len(m.text) for m in row), default=0)
    characters, styles = [" "] * width, [""] * width
    for mark in row:
        for i, character in enumerate(mark.text, start=mark.column):
            characters[i], styles[i] = character, mark.style
    line = Text()
    for character, style in zip(characters, styles, strict=True):
        line.append(character, style or None)
    line.rstrip()
    return line
