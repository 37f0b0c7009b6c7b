"""What drawings with matplotlib share: heat maps, and labels that show any text as it is.

A `$` in a label is a dollar, not the beginning of a formula, and nothing that cannot be seen reaches the drawing.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clearhead.text.printable import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from numpy.typing import NDArray

PLAIN, SIGNED = "viridis", "RdBu_r"  # colours of what is never negative, and of what is centred on 0
ACCENT = "#3b6fb6"
MOST_LABELS = 48  # on one axis; of more, every second is left out, or every third ...
LONGEST_LABEL = 18  # characters


def heat_map(
    axes: "Axes",
    matrix: "NDArray[Any]",  # [rows, columns]
    *,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    signed: bool = False,
    limits: tuple[float, float] | None = None,
    bar: bool = True,
) -> None:
    """One cell per number, row 0 at the top; `limits` are the numbers at both ends of the colours.

    Signed numbers are coloured evenly around 0 unless `limits` say otherwise.
    """
    from matplotlib.ticker import MaxNLocator

    if limits is None and signed:
        furthest = float(abs(matrix).max(initial=0)) or 1.0
        limits = (-furthest, furthest)
    low, high = limits or (None, None)
    image = axes.imshow(
        matrix, cmap=SIGNED if signed else PLAIN, vmin=low, vmax=high, aspect="auto", interpolation="nearest"
    )
    for axis, names in ((axes.yaxis, rows), (axes.xaxis, columns)):
        if names is None:
            axis.set_major_locator(MaxNLocator(integer=True))
        else:
            label(axis, names, turned=axis is axes.xaxis and max(map(len, names), default=0) > 2)
    if bar and axes.figure is not None:
        axes.figure.colorbar(image, ax=axes, shrink=0.8)


def write_values(axes: "Axes", matrix: "NDArray[Any]", *, digits: int = 2, light: Callable[[float], bool]) -> None:
    """Each number of a small matrix in its cell of a heat map, in white where `light` says so."""
    for (i, j), value in np.ndenumerate(matrix):
        colour = "white" if light(float(value)) else "black"
        axes.text(j, i, f"{value:.{digits}f}", ha="center", va="center", color=colour, fontsize=8)


def label(axis: "Axis", labels: Sequence[str], *, turned: bool = False) -> None:
    """Name the places 0, 1, 2 ... of an axis; so many that none covers another. `turned` writes them upwards."""
    step = -(-len(labels) // MOST_LABELS) or 1
    places = list(range(0, len(labels), step))
    axis.set_ticks(places, [shown(labels[i]) for i in places], parse_math=False)
    if turned:
        axis.set_tick_params(labelrotation=90)


def shown(text: str, longest: int = LONGEST_LABEL) -> str:
    """A text as a label: on one line, cut where it is long."""
    line = one_line(text)
    return line if len(line) <= longest else line[: longest - 1] + "…"
