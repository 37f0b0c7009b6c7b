"""What drawings with matplotlib share: heat maps, and labels that show any text as it is.

A `$` in a label is a dollar, not the beginning of a formula, and nothing that cannot be seen reaches the drawing.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clearhead.lens.colours import PLAIN, SIGNED, hexadecimal
from clearhead.text.printable import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.colors import Colormap
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

MOST_LABELS = 48  # on one axis; of more, every second is left out, or every third ...
LONGEST_LABEL = 18  # characters


def paint_matrix(
    axes: "Axes",
    matrix: "NDArray[Any]",  # [rows, columns]
    *,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    signed: bool = False,
    root: bool = False,
    limits: tuple[float, float] | None = None,
    bar: str | None = "",
) -> "AxesImage":
    """One cell per number, row 0 at the top; `limits` are the numbers at both ends of the colours.

    Signed numbers are coloured evenly around 0 unless `limits` say otherwise. With `root` colours follow the square
    root, as on a page, so that small numbers can be told apart; the bar says so. `bar` names the numbers beside their
    colours; None draws no bar.
    """
    from matplotlib.colors import PowerNorm
    from matplotlib.ticker import MaxNLocator

    if limits is None and signed:
        furthest = float(abs(matrix).max(initial=0)) or 1.0
        limits = (-furthest, furthest)
    low, high = limits or (None, None)
    scale: dict[str, Any] = {"norm": PowerNorm(0.5, low, high)} if root else {"vmin": low, "vmax": high}
    image = axes.imshow(matrix, cmap=ramp(signed=signed), aspect="auto", interpolation="nearest", **scale)
    for axis, names in ((axes.yaxis, rows), (axes.xaxis, columns)):
        if names is None:
            axis.set_major_locator(MaxNLocator(integer=True))
        else:
            name_axis(axis, names, turned=axis is axes.xaxis and max(map(len, names), default=0) > 2)
    if bar is not None:
        colour_bar(axes, image, bar, root=root)
    return image


def colour_bar(axes: "Axes", image: "AxesImage", name: str, *, root: bool = False, **options: Any) -> None:
    """Which colour is which number; `name` says what of."""
    if axes.figure is not None:
        text = ", ".join(part for part in (name, "colours: square root" if root else "") if part)
        axes.figure.colorbar(image, ax=axes, shrink=0.8, label=text, **options)


def ramp(*, signed: bool) -> "Colormap":
    """The colours as matplotlib has them; white stands where there is no number."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("clearhead", [hexadecimal(c) for c in (SIGNED if signed else PLAIN)])


def write_values(axes: "Axes", matrix: "NDArray[Any]", *, digits: int = 2, light: Callable[[float], bool]) -> None:
    """Each number of a small matrix in its cell of a heat map, in white where `light` says so."""
    for (i, j), value in np.ndenumerate(matrix):
        colour = "white" if light(float(value)) else "black"
        axes.text(j, i, f"{value:.{digits}f}", ha="center", va="center", color=colour, fontsize=8)


def name_axis(axis: "Axis", labels: Sequence[str], *, turned: bool = False) -> None:
    """Name the places 0, 1, 2 ... of an axis; so many that none covers another. `turned` writes them upwards."""
    step = -(-len(labels) // MOST_LABELS) or 1
    places = list(range(0, len(labels), step))
    axis.set_ticks(places, [shortened(labels[i]) for i in places], parse_math=False)
    if turned:
        axis.set_tick_params(labelrotation=90)


def shortened(text: str, longest: int = LONGEST_LABEL) -> str:
    """A text as a label: on one line, cut where it is long."""
    line = one_line(text)
    return line if len(line) <= longest else line[: longest - 1] + "…"
