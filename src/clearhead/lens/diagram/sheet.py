"""A sheet to draw a figure on with matplotlib, in points from the lower left: boxes with lines of text, and arrows.

The sheet grows with what is drawn, and `finish` gives the figure its size, so that text has the size it was given.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import pi, sin
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Point = tuple[float, float]

NAME, SMALL, LEADING = 9.0, 7.2, 1.35  # points of a name and of what stands below it, and a line's height in them
INK, GREY, EDGE = "#1c1c1e", "#5f6368", "#4a4d52"
PAD, CORNER, MARGIN = 6.0, 4.0, 14.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """Where a box lies: the middle of its lower edge, and its size."""

    x: float
    y: float
    width: float
    height: float

    @property
    def top(self) -> float:
        """Its upper edge."""
        return self.y + self.height

    @property
    def middle(self) -> float:
        """Half way up."""
        return self.y + self.height / 2

    def side(self, sign: int) -> float:
        """Its left (-1) or right (1) edge."""
        return self.x + sign * self.width / 2


@dataclass(slots=True)
class Sheet:
    """What was drawn so far, and how far it reaches."""

    axes: "Axes"
    reach: list[Point] = field(default_factory=list)

    def box(self, lines: Sequence[str], x: float, y: float, width: float, colour: str, height: float = 0) -> Box:
        """A rounded box with centred lines, the first as its name; at least `height` high."""
        needed = box_height(lines)
        at = Box(x=x, y=y, width=width, height=max(needed, height))
        self.frame(at, colour)
        top = at.top - (at.height - needed) / 2 - PAD
        for i, line in enumerate(lines):
            size = NAME if i == 0 else SMALL
            self.text(line, x, top - size * LEADING / 2, size=size, colour=INK if i == 0 else GREY)
            top -= size * LEADING
        return at

    def frame(self, at: Box, colour: str, *, behind: bool = False) -> None:
        """The outline alone."""
        from matplotlib.patches import FancyBboxPatch

        style = f"round,pad=0,rounding_size={CORNER * (2 if behind else 1)}"
        corner = (at.side(-1), at.y)
        self.axes.add_patch(
            FancyBboxPatch(
                corner,
                at.width,
                at.height,
                boxstyle=style,
                facecolor=colour,
                edgecolor=EDGE,
                linewidth=0.8,
                zorder=0 if behind else 2,
            )
        )
        self.reach += [corner, (at.side(1), at.top)]

    def line(self, *points: Point, arrow: bool = True, radius: float = CORNER) -> None:
        """A line through points whose corners are rounded, with an arrow's head at its end."""
        from matplotlib.patches import FancyArrowPatch

        self.axes.add_patch(
            FancyArrowPatch(
                path=rounded(points, radius),
                arrowstyle="-|>,head_length=3.2,head_width=1.7" if arrow else "-",
                color=EDGE,
                linewidth=0.8,
                shrinkA=0,
                shrinkB=0,
                mutation_scale=1,
                zorder=1,
                joinstyle="miter",
                capstyle="butt",
            )
        )
        self.reach += points

    def plus(self, x: float, y: float, radius: float) -> None:
        """A sum."""
        from matplotlib.patches import Circle

        self.axes.add_patch(Circle((x, y), radius, facecolor="white", edgecolor=EDGE, linewidth=0.8, zorder=2))
        for ends in (((x - radius, x + radius), (y, y)), ((x, x), (y - radius, y + radius))):
            self.axes.plot(*ends, color=EDGE, linewidth=0.8, solid_capstyle="butt", zorder=3)

    def wave(self, x: float, y: float, radius: float) -> None:
        """The sign of the sinusoidal encoding: one turn of a sine in a circle."""
        from matplotlib.patches import Circle

        self.axes.add_patch(Circle((x, y), radius, facecolor="white", edgecolor=EDGE, linewidth=0.8, zorder=2))
        steps = [i / 40 for i in range(41)]
        across = [x + radius * (2 * s - 1) for s in steps]
        self.axes.plot(
            across, [y + 0.55 * radius * sin(2 * pi * s) for s in steps], color=EDGE, linewidth=0.8, zorder=3
        )

    def text(
        self, words: str, x: float, y: float, *, size: float = SMALL, colour: str = GREY, align: str = "center"
    ) -> None:
        """One line of text, its middle (or its left or right end) at x; any text stands as it is."""
        options: dict[str, Any] = {"ha": align, "va": "center_baseline", "parse_math": False, "zorder": 4}
        self.axes.text(x, y, words, fontsize=size, color=colour, **options)
        width = text_width(words, size)
        start = x - {"left": 0.0, "center": 0.5, "right": 1.0}[align] * width
        self.reach += [(start, y - size / 2), (start + width, y + size / 2)]

    def finish(self, figure: "Figure") -> None:
        """Cut the sheet to what was drawn, and the figure to the sheet."""
        across, up = zip(*self.reach, strict=True)
        left, right, low, high = min(across) - MARGIN, max(across) + MARGIN, min(up) - MARGIN, max(up) + MARGIN
        self.axes.set_xlim(left, right)
        self.axes.set_ylim(low, high)
        figure.set_size_inches((right - left) / 72, (high - low) / 72)


def sheet(figure: "Figure") -> Sheet:
    """An empty sheet that covers the figure."""
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    return Sheet(axes)


def box_height(lines: Sequence[str]) -> float:
    """What a box with these lines needs."""
    return 2 * PAD + LEADING * sum(NAME if i == 0 else SMALL for i in range(len(lines)))


def box_width(lines: Sequence[str]) -> float:
    """The same for its width."""
    return 4 * PAD + max(text_width(line, NAME if i == 0 else SMALL) for i, line in enumerate(lines))


@lru_cache(maxsize=1024)
def text_width(words: str, size: float) -> float:
    """Points that a line takes; a little more than in matplotlib's own font, for an SVG is shown in the reader's."""
    from matplotlib.textpath import TextPath

    return (
        1.05 * float(TextPath((0, 0), words.replace("$", "S"), size=size).get_extents().width) if words.strip() else 0
    )


def rounded(points: Sequence[Point], radius: float) -> Any:
    """A matplotlib path through points, with quarter turns at its corners."""
    from matplotlib.path import Path

    where, codes = [points[0]], [Path.MOVETO]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        where += [toward(corner, before, radius), corner, toward(corner, after, radius)]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    return Path([*where, points[-1]], [*codes, Path.LINETO])


def toward(start: Point, end: Point, distance: float) -> Point:
    """A point on the way from one to another, at most half way."""
    length = ((end[0] - start[0]) ** 2 + (end[1] - start[1]) ** 2) ** 0.5
    share = min(distance / length, 0.5) if length else 0
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])
