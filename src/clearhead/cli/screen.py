"""The two places output goes: results to standard output, all else to standard error. Colours only on a terminal.

Rich would also colour a pipe when told to by FORCE_COLOR, and keep bold under NO_COLOR; here a pipe and NO_COLOR both
mean no escape codes at all (no-color.org).
"""

import os
import sys
import textwrap
from collections.abc import Sequence
from typing import Literal, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from clearhead.text.printable import one_line, printable

WIDE = 10_000  # columns of what is no terminal: nothing is wrapped or cut
NARROW = 80


def output() -> Console:
    """For results."""
    return console(sys.stdout)


def messages() -> Console:
    """For everything that is not the result."""
    return console(sys.stderr)


def console(file: TextIO) -> Console:
    """A console that takes no markup: text from outside is shown as it is."""
    terminal = is_terminal(file)
    colours: Literal["auto"] | None = "auto" if terminal and not os.environ.get("NO_COLOR") else None
    return Console(
        file=file,
        force_terminal=terminal,
        color_system=colours,
        no_color=colours is None,
        markup=False,
        emoji=False,
        highlight=False,
        width=None if terminal else WIDE,
    )


def is_terminal(file: TextIO) -> bool:
    """Whether a person looks at it."""
    return file.isatty()


def note(text: str) -> None:
    """A quiet line on standard error."""
    messages().print(Text(one_line(text), style="dim"), soft_wrap=True)


class Writer:
    """Standard output for a text that grows: exact in a file or pipe, safe to look at on a terminal."""

    def __init__(self) -> None:
        self.console = output()

    def write(self, text: str, style: str = "") -> None:
        """Show the next part at once."""
        if self.console.is_terminal:
            self.console.print(Text(printable(text), style=style), end="", soft_wrap=True)
        else:
            self.console.file.write(text)
        self.console.file.flush()


def show_lines(lines: Sequence[str], *, heading: bool = False) -> None:
    """Lines of a result; the first of a table with headings is dimmed."""
    console = output()
    for i, line in enumerate(lines):
        console.print(Text(line, style="dim" if heading and i == 0 else ""), soft_wrap=True)


def columns(rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset()) -> list[str]:
    """Rows as lines with aligned columns, for files and pipes; numbers of the columns in `right` stand at the right."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = []
        for i, (cell, width) in enumerate(zip(row, widths, strict=True)):
            blank = " " * (width - cell_len(cell))
            cells.append(blank + cell if i in right else cell + blank)
        lines.append("  ".join(cells).rstrip())
    return lines


def wrapped(text: str, indent: int = 0) -> list[str]:
    """Lines that fit 80 columns after an indent; a word that is longer stays whole."""
    return textwrap.wrap(text, NARROW - indent, break_long_words=False, break_on_hyphens=False) or [""]
