"""Influence: how much each token of the input moved what the model computed at each token, near and far.

The numbers come from elsewhere (a norm of a gradient, or a change after an ablation); this shows them, and how they
fade with distance. T tokens; row i of a matrix is the token that was moved, column j the token that moved it.
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from clearhead.errors import OptionError
from clearhead.lens.payload import Payload, Token
from clearhead.lens.pooling import pool_max
from clearhead.lens.terminal import heat_map, table
from clearhead.lens.view import WIDTH, View
from clearhead.lens.words import label
from clearhead.text.printable import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS = 48  # of a matrix in a terminal
FINEST = 512  # cells along each side of a drawing
DISTANCES = 16  # listed in a terminal


def by_distance(matrix: NDArray[Any]) -> list[tuple[int, float]]:
    """The mean influence at each distance |i - j|, from 0 on.

    Of a matrix whose upper triangle is all 0, a decoder's, only the lower one counts. NaN is left out, and so is a
    distance that has nothing else.
    """
    causal = not np.triu(matrix, 1).any()
    found = []
    for distance in range(len(matrix)):
        values = [np.diagonal(matrix, -distance), *([] if causal or not distance else [np.diagonal(matrix, distance)])]
        known = np.concatenate(values)
        known = known[~np.isnan(known)]
        if known.size:
            found.append((distance, float(known.mean(dtype=np.float64))))
    return found


@dataclass(kw_only=True, repr=False)
class InfluenceView(View):
    """Matrices of influence side by side, such as those of two models on one text.

    Raises:
        OptionError: no matrix, or one that is not [T, T].
    """

    type: ClassVar[str] = "influence"
    height: ClassVar[int] = 640

    matrices: Mapping[str, NDArray[Any]]  # by name, each [T, T]
    tokens: Sequence[Token]
    title: str = "Influence of one token on another"
    unit: str = ""  # what the numbers are
    error: float = 0.0  # how far one of them is off on average, relative to it
    estimated: str = ""  # from what, where they are

    def __post_init__(self) -> None:
        n = len(self.tokens)
        if not self.matrices:
            raise OptionError("there is no matrix of influence to show")
        for name, matrix in self.matrices.items():
            if matrix.shape != (n, n):
                raise OptionError(f"the influence {one_line(name)!r} is {matrix.shape}; {n} tokens need ({n}, {n})")

    @property
    def note(self) -> str:
        """How to read the matrices, and how far they can be trusted."""
        said = ["Row: the token that was moved; column: the token that moved it."]
        if self.unit:
            said.append(f"Each number is the {self.unit}.")
        if self.estimated:
            said.append(
                f"It is estimated from {self.estimated}: about {self.error:.0%} off on average. "
                "More probes come closer; probes=None is exact."
            )
        return " ".join(said)

    def number(self, value: float) -> str:
        """With as many digits as mean something."""
        rounded = float(f"{value:.{2 if self.error > 0.05 else 3}g}")
        return f"{rounded:.10g}"  # 120, not 1.2e+02

    @property
    def furthest(self) -> float:
        """The largest number of all matrices, so that their colours can be compared."""
        return max((float(np.nanmax(m, initial=0)) for m in self.matrices.values()), default=0.0) or 1.0

    @property
    def figures(self) -> dict[str, Any]:
        """The matrices, and the mean at each distance."""
        return {
            "type": self.type,
            "title": self.title,
            "unit": self.unit,
            "relative_error": self.error,
            "tokens": [token.text for token in self.tokens],
            "matrices": [
                {
                    "name": one_line(name),
                    "influence": matrix.tolist(),
                    "by_distance": [{"distance": distance, "mean": mean} for distance, mean in by_distance(matrix)],
                }
                for name, matrix in self.matrices.items()
            ],
            "note": self.note,
        }

    def fill(self, payload: Payload) -> dict[str, Any]:
        """The matrices, and the mean at each distance."""
        return {
            "note": self.note,
            "unit": self.unit,
            "error": self.error,
            "list": payload.put_tokens("influence", self.tokens),
            "matrices": [
                {
                    "name": one_line(name),
                    "key": payload.put(f"influence/{name}", matrix, dtype="f32"),
                    "summary": [{"distance": distance, "mean": mean} for distance, mean in by_distance(matrix)],
                }
                for name, matrix in self.matrices.items()
            ],
        }

    def terminal(self, width: int = WIDTH) -> Text:
        """Each matrix in shades where the text is short, and the mean at each distance."""
        out = Text(f"{self.title}\n", "bold")
        words = [label(token) for token in self.tokens]
        scale: dict[str, Any] = {"limits": (0.0, self.furthest), "root": True}
        if len(words) <= MOST_ROWS:
            for name, matrix in self.matrices.items():
                out.append(f"{one_line(name)}\n")
                out.append_text(heat_map(matrix, width=width, rows=words, columns=words, **scale))
        summaries = {name: dict(by_distance(matrix)) for name, matrix in self.matrices.items()}
        rows = [
            [
                str(distance),
                *(self.number(found[distance]) if distance in found else "" for found in summaries.values()),
            ]
            for distance in distances(len(words))
        ]
        heading = ["distance", *summaries]
        out.append_text(table([heading, *rows], right=frozenset(range(len(heading))), width=width))
        return out.append("".join(f"{line}\n" for line in textwrap.wrap(self.note, width)), "dim")

    def draw(self, figure: "Figure") -> None:
        """Heat maps with words on both sides, and a curve of each over the distance, on a logarithmic axis."""
        from clearhead.lens.painting import paint_matrix

        words = [label(token) for token in self.tokens]
        parts = figure.subplots(1, len(self.matrices) + 1, squeeze=False)[0]
        for axes, (name, matrix) in zip(parts, self.matrices.items(), strict=False):
            cells, (n, _) = pool_max(matrix, FINEST)
            names = words if n == 1 else [str(i * n) for i in range(len(cells))]
            paint_matrix(
                axes,
                cells,
                rows=names,
                columns=names,
                limits=(0.0, self.furthest),
                root=True,
                bar=self.unit or "influence",
            )
            axes.set_title(one_line(name), parse_math=False)
            distances, means = zip(*by_distance(matrix), strict=True) if matrix.size else ((), ())
            parts[-1].plot(distances, means, label=one_line(name), marker="." if len(distances) < 50 else "")
        self.draw_distances(parts[-1])
        figure.suptitle(self.title, parse_math=False)
        if self.estimated:
            figure.supxlabel(f"estimated from {self.estimated}: about {self.error:.0%} off on average", size=7)
        figure.set_size_inches(4.4 * len(parts), 4.4)

    def draw_distances(self, axes: "Axes") -> None:
        """What belongs to the curves."""
        axes.set_xscale("symlog", linthresh=1)  # logarithmic from distance 1 on, as on a page
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set(xlabel="distance in tokens, logarithmic", ylabel=f"mean {self.unit or 'influence'}", ylim=(0, None))
        for text in axes.legend(frameon=False).get_texts():
            text.set_parse_math(False)


def distances(n: int) -> list[int]:
    """At most 16 distances below `n`, close ones one by one and far ones in growing steps."""
    if n <= DISTANCES:
        return list(range(n))
    return sorted({0, *np.rint(np.geomspace(1, n - 1, DISTANCES - 1)).astype(int).tolist()})
