"""What views in a terminal share: heat maps, bars and tables, as rich Text that also reads without colours.

A cell of a heat map is drawn twice over: its background has the colour, and its character the shade, in the same
colour. With colours one sees an even patch; without them (a file, a pipe, NO_COLOR) the shade is left.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from clearhead.lens.colours import PLAIN, SIGNED, Colour
from clearhead.text.printable import one_line

SHADES = " ░▒▓█"
EIGHTHS = " ▏▎▍▌▋▊▉█"
LONGEST_LABEL = 14  # columns


def heat_map(
    matrix: NDArray[Any],  # [rows, columns]
    *,
    width: int = 80,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    signed: bool = False,
    root: bool = False,
    limits: tuple[float, float] | None = None,
    legend: bool = True,
) -> Text:
    """Row 0 at the top, two characters to a cell where they fit; where there is no room even for one, neighbouring
    columns share a cell, which shows the largest of them (of signed numbers the furthest from 0).

    `limits` are the numbers at both ends of the colours; without them the smallest and largest, around 0 where signed.
    With `root` colours follow the square root of what is above the lower limit, as on a page, and the legend says so.
    Column labels are written downwards.
    """
    matrix = np.asarray(matrix, np.float64)
    low, high = limits or extremes(matrix, signed)
    names = [fit(name, LONGEST_LABEL) for name in rows] if rows is not None else [""] * len(matrix)
    left = max(map(cell_len, names), default=0) + 1 if rows is not None else 0
    cells, share = pooled(matrix, max(1, width - left), signed)
    span = 2 if 2 * cells.shape[1] <= width - left else 1
    out = Text()
    if columns is not None:
        out.append_text(heading(columns, left, span, share))
    levels = np.clip((np.nan_to_num(cells, nan=low) - low) / ((high - low) or 1), 0, 1) ** (0.5 if root else 1)
    for name, row in zip(names, levels, strict=True):
        if rows is not None:
            out.append(pad(name, left - 1, right=True) + " ")
        out.append_text(strip(row, span, signed)).append("\n")
    if legend:
        out.append(" " * left + f"{low:.4g} ").append_text(strip(np.linspace(0, 1, 5), 2, signed))
        out.append(f" {high:.4g}{' (square root)' if root else ''}\n")
        if share > 1:
            out.append(" " * left + fit(f"a cell stands for {share} columns", width - left) + "\n")
    return out


def extremes(matrix: NDArray[np.float64], signed: bool) -> tuple[float, float]:
    """The numbers at both ends of the colours."""
    finite = matrix[np.isfinite(matrix)]
    if not finite.size:
        return (-1.0, 1.0) if signed else (0.0, 1.0)
    if signed:
        furthest = float(np.abs(finite).max()) or 1.0
        return -furthest, furthest
    return float(finite.min()), float(finite.max())


def pooled(matrix: NDArray[np.float64], room: int, signed: bool) -> tuple[NDArray[np.float64], int]:
    """[rows, at most `room`]: each cell the largest of `share` columns, of signed numbers the furthest from 0."""
    share = -(-matrix.shape[1] // room) or 1
    starts = range(0, matrix.shape[1], share)
    groups = [matrix[:, i : i + share] for i in starts] if share > 1 else []
    if not groups:
        return matrix, 1
    picks = [np.argmax(np.abs(g) if signed else g, axis=1) for g in groups]
    peaks = [np.take_along_axis(g, p[:, None], axis=1) for g, p in zip(groups, picks, strict=True)]
    return np.concatenate(peaks, axis=1), share


def strip(levels: NDArray[np.float64], span: int, signed: bool) -> Text:
    """One row of cells; `levels` lie between 0 and 1."""
    out = Text()
    for level in levels:
        colour = ramp(float(level), SIGNED if signed else PLAIN)
        out.append(SHADES[min(int(level * len(SHADES)), len(SHADES) - 1)] * span, f"{colour} on {colour}")
    return out


def ramp(level: float, stops: Sequence[Colour]) -> str:
    """The colour at `level` (0 to 1) of a ramp."""
    return "rgb({},{},{})".format(*mixed(level, stops))


def mixed(level: float, stops: Sequence[Colour]) -> list[int]:
    """The same as numbers."""
    at = level * (len(stops) - 1)
    i = min(int(at), len(stops) - 2)
    return [round(a + (b - a) * (at - i)) for a, b in zip(stops[i], stops[i + 1], strict=True)]


def ink_on(level: float, stops: Sequence[Colour]) -> str:
    """Black or white, whichever is easier to read on the colour at `level` of a ramp."""
    red, green, blue = (((c / 255 + 0.055) / 1.055) ** 2.4 for c in mixed(level, stops))  # WCAG's relative luminance
    return "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else "white"


def heading(labels: Sequence[str], left: int, span: int, share: int) -> Text:
    """Labels of columns, written downwards above them; characters of two columns do not fit and become `?`."""
    names = [fit(labels[i], LONGEST_LABEL) for i in range(0, len(labels), share)]
    height = max(map(len, names), default=0)
    lines = []
    for k in range(height):
        marks = [name.rjust(height)[k] for name in names]
        narrow = [mark if cell_len(mark) == 1 else (mark if cell_len(mark) == span else "?") for mark in marks]
        lines.append(" " * left + "".join(pad(mark, span) for mark in narrow))
    return Text("".join(line.rstrip() + "\n" for line in lines), style="dim")


def bar(share: float, width: int = 20) -> str:
    """A bar as long as `share` (0 to 1) of `width`, exact to an eighth of a column."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (EIGHTHS[rest] if rest else "")).ljust(width)


def table(
    rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset(), headed: bool = True, width: int | None = None
) -> Text:
    """Aligned columns, the first row dim where it is a heading; columns in `right` stand at the right.

    Cells are made harmless; lines longer than `width` are cut.
    """
    safe = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*safe, strict=True)]
    out = Text()
    for n, row in enumerate(safe):
        cells = [pad(c, w, right=i in right) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        line = "  ".join(cells).rstrip()
        out.append((line if width is None else fit(line, width)) + "\n", "dim" if headed and n == 0 else "")
    return out


def pad(text: str, width: int, *, right: bool = False) -> str:
    """The text with blanks behind it, or before."""
    blank = " " * max(0, width - cell_len(text))
    return blank + text if right else text + blank


def fit(text: str, width: int) -> str:
    """The text made harmless, cut to `width` columns."""
    line = one_line(text)
    return line if cell_len(line) <= width else set_cell_size(line, max(0, width - 1)).rstrip() + "…"
