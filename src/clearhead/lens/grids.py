"""Grids of likely words drawn for papers: a word to a cell, on a ground that is the brighter the likelier it is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clearhead.lens.colours import PLAIN
from clearhead.lens.painting import colour_bar, ramp, shortened
from clearhead.lens.terminal import ink_on
from clearhead.lens.words import unspaced

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELL_TEXT = 10  # characters of a token in a cell


def word_grid(
    axes: "Axes", chances: NDArray[np.float64], texts: Sequence[Sequence[str]], *, numbers: bool = False
) -> None:
    """Words [rows, columns] on the colours of their probabilities, which are written beside them if `numbers`."""
    image = axes.imshow(chances, cmap=ramp(signed=False), vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    if not numbers:
        colour_bar(axes, image, "probability", aspect=40, pad=0.02)
    for (i, j), chance in np.ndenumerate(chances):
        ink = ink_on(float(chance), PLAIN)
        text = shortened(unspaced(texts[i][j]), CELL_TEXT)
        place = {"x": j - 0.42, "ha": "left"} if numbers else {"x": j, "ha": "center"}
        axes.text(y=i, s=text, va="center", color=ink, size=7.5, parse_math=False, **place)
        if numbers:
            axes.text(
                j + 0.45, i, f"{chance:.2f}".lstrip("0"), ha="right", va="center", color=ink, size=6.5, alpha=0.85
            )
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0)
    for line in np.arange(chances.shape[1] - 1) + 0.5:
        axes.axvline(line, color="white", lw=1)


def frames(axes: "Axes", chances: NDArray[np.float64], places: Sequence[Sequence[int]]) -> None:
    """Cells (row, column) in a frame that can be seen on their colour."""
    from matplotlib.patches import Rectangle

    for row, column in places:
        ink = ink_on(float(chances[row, column]), PLAIN)
        axes.add_patch(Rectangle((column - 0.45, row - 0.42), 0.9, 0.84, fill=False, edgecolor=ink, lw=1.2))
