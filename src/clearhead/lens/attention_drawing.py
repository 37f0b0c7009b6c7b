"""Attention drawn for papers: a heat map, arcs over a sentence, lines between two, all heads on one sheet.

T queries, S keys. Opacity and width of a line follow the weight; weights below 5 % are left out.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clearhead.errors import OptionError
from clearhead.lens.colours import ACCENT
from clearhead.lens.modules import Module
from clearhead.lens.painting import LONGEST_LABEL, colour_bar, paint_matrix, ramp, shortened
from clearhead.lens.pooling import pool_max

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FINEST = 512  # cells along each side of a heat map; more would be lost between the pixels
FAINTEST = 0.05  # weight of the faintest line
MOST_WORDS = 64  # that arcs and lines can join
PANEL = 48  # cells along each side of one head at a glance

Weights = NDArray[Any]


def matrix(figure: "Figure", weights: Weights, queries: Sequence[str], keys: Sequence[str], title: str) -> None:
    """Queries down, keys across; in a long text each cell is the largest weight of several tokens."""
    cells, (q, k) = pool_max(weights, FINEST)
    paint_matrix(
        figure.subplots(),
        cells,
        rows=queries if q == 1 else [str(i * q) for i in range(len(cells))],
        columns=keys if k == 1 else [str(i * k) for i in range(cells.shape[1])],
        limits=(0.0, 1.0),
        bar="attention weight" if (q, k) == (1, 1) else "largest attention weight in the cell",
    )
    figure.suptitle(title, parse_math=False)
    width, height = (min(14.0, max(4.0, 1.8 + 0.17 * n)) for n in (len(keys), len(queries)))
    figure.set_size_inches(width, height)


def arcs(figure: "Figure", weights: Weights, words: Sequence[str], first: int, title: str) -> None:
    """Words in a line, arcs from each query to its keys: above it to words before, below it to words after.

    Raises:
        OptionError: too long a text.
    """
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    axes = sheet(figure, len(words), title)
    highest, deepest = 0.0, 0.0  # three quarters of the way to the curve's control points
    for t, s, weight in joined(weights):
        query, side = t + first, 1 if s <= t + first else -1
        height = side * (0.5 + 0.5 * abs(query - s)) if s != query else 0.35
        left, right = (query, s) if s != query else (query - 0.25, query + 0.25)
        start = 0.3 * side
        path = Path([(left, start), (left, start + height), (right, start + height), (right, start)], [1, 4, 4, 4])
        axes.add_patch(PathPatch(path, facecolor="none", edgecolor=ACCENT, alpha=opacity(weight), lw=2.5 * weight))
        highest, deepest = max(highest, start + 0.75 * height), min(deepest, start + 0.75 * height)
    for i, word in enumerate(words):
        axes.text(i, 0, shortened(word), ha="center", va="center", size=8, parse_math=False, rotation=slant(words))
    axes.set(xlim=(-0.7, len(words) - 0.3), ylim=(deepest - 0.5, highest + 0.5))
    figure.set_size_inches(
        min(16.0, max(4.0, 0.62 * len(words))), min(9.0, 1.3 + 0.4 * (highest - deepest) + 0.02 * len(words))
    )
    figure.supxlabel("Width and strength of an arc: attention weight, from 5 %", size=7)


def lines(figure: "Figure", weights: Weights, queries: Sequence[str], keys: Sequence[str], title: str) -> None:
    """Queries at the left, keys at the right, lines between: an alignment of two texts.

    Raises:
        OptionError: too long a text.
    """
    axes = sheet(figure, max(len(queries), len(keys)), title)
    for t, s, weight in joined(weights):
        axes.plot([0, 1], [t, s], color=ACCENT, alpha=opacity(weight), lw=3 * weight, solid_capstyle="butt")
    for x, words, side in ((-0.03, queries, "right"), (1.03, keys, "left")):
        for y, word in enumerate(words):
            axes.text(x, y, shortened(word), ha=side, va="center", size=8, parse_math=False)
    n = max(len(queries), len(keys))
    axes.set(xlim=(-0.6, 1.6), ylim=(n - 0.5, -0.5))
    figure.set_size_inches(4.4, min(14.0, 0.9 + 0.2 * n))


def glance(figure: "Figure", modules: Sequence[Module], title: str) -> None:
    """A sheet of small matrices: modules down, heads across; colour follows the square root of the weight."""
    from matplotlib.colors import PowerNorm

    heads = sorted({head for module in modules for head in module.heads})
    panels = [[panel(module, head) for head in heads] for module in modules]
    height, width = (max(p.shape[axis] for row in panels for p in row) for axis in (0, 1))
    gap = 1 + max(height, width) // 16
    height, width = height + gap, width + gap
    sheet = np.full((height * len(modules), width * len(heads)), np.nan)
    for i, row in enumerate(panels):
        for j, cells in enumerate(row):
            sheet[i * height : i * height + cells.shape[0], j * width : j * width + cells.shape[1]] = cells
    axes = figure.subplots()
    image = axes.imshow(
        sheet, cmap=ramp(signed=False), norm=PowerNorm(0.5, 0, 1), aspect="equal", interpolation="nearest"
    )
    colour_bar(axes, image, "attention weight", root=True, aspect=40, pad=0.03)
    axes.set_xticks([j * width + (width - gap) / 2 for j in range(len(heads))], [str(head) for head in heads])
    names = [f"{m.stack} {m.layer}" + (" cross" if m.kind == "cross_attention" else "") for m in modules]
    axes.set_yticks([i * height + (height - gap) / 2 for i in range(len(modules))], names)
    axes.tick_params(length=0, labelsize=7)
    axes.set(xlabel="head", ylabel="layer")
    axes.spines[:].set_visible(False)
    axes.set_title(title, parse_math=False)
    scale = min(0.9, 18 / (len(modules) * height / width))
    figure.set_size_inches(2.2 + scale * len(heads), 1.2 + scale * len(modules) * height / width)


def panel(module: Module, head: int) -> Weights:
    """One head in few cells; one empty cell for a head that the module does not show."""
    return pool_max(module.of(head), PANEL)[0] if head in module.heads else np.full((1, 1), np.nan)


def sheet(figure: "Figure", words: int, title: str) -> "Axes":
    """An empty sheet for so many words."""
    if words > MOST_WORDS:
        raise OptionError(f"arcs cannot be told apart over {words} tokens; draw up to {MOST_WORDS}, or the matrix")
    axes = figure.subplots()
    axes.axis("off")
    axes.set_title(title, parse_math=False)
    return axes


def joined(weights: Weights) -> list[tuple[int, int, float]]:
    """What is strong enough for a line, the strongest last so that it lies on top."""
    found = [(int(t), int(s), float(weights[t, s])) for t, s in np.argwhere(weights >= FAINTEST)]
    return sorted(found, key=lambda line: line[2])


def opacity(weight: float) -> float:
    """Of a line."""
    return min(1.0, 0.15 + 0.85 * weight)


def slant(words: Sequence[str]) -> float:
    """Long words in a line would cover each other."""
    return 0.0 if max(map(len, words), default=0) <= 7 else 30.0 if len(words) <= LONGEST_LABEL else 60.0
