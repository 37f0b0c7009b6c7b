"""Influence: how much each token of the input moved what the model computed at each token, near and far.

The numbers come from elsewhere (a norm of a gradient, or a change after an ablation); this shows them, and how they
fade with distance. T tokens; row i of a matrix is the token that was moved, column j the token that moved it.
"""

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
    note: str = "Row: the token that was moved; column: the token that moved it."

    def __post_init__(self) -> None:
        n = len(self.tokens)
        if not self.matrices:
            raise OptionError("there is no matrix of influence to show")
        for name, matrix in self.matrices.items():
            if matrix.shape != (n, n):
                raise OptionError(f"the influence {one_line(name)!r} is {matrix.shape}; {n} tokens need ({n}, {n})")

    def fill(self, payload: Payload) -> dict[str, Any]:
        """The matrices, and the mean at each distance."""
        return {
            "note": self.note,
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
        if len(words) <= MOST_ROWS:
            for name, matrix in self.matrices.items():
                out.append(f"{one_line(name)}\n").append_text(heat_map(matrix, width=width, rows=words, columns=words))
        summaries = {name: dict(by_distance(matrix)) for name, matrix in self.matrices.items()}
        rows = [
            [str(distance), *(f"{found[distance]:.4g}" if distance in found else "" for found in summaries.values())]
            for distance in distances(len(words))
        ]
        heading = ["distance", *summaries]
        return out.append_text(table([heading, *rows], right=frozenset(range(len(heading))), width=width))

    def draw(self, figure: "Figure") -> None:
        """Heat maps with words on both sides, and a curve of each over the distance."""
        from clearhead.lens.painting import heat_map as painted

        words = [label(token) for token in self.tokens]
        parts = figure.subplots(1, len(self.matrices) + 1, squeeze=False)[0]
        for axes, (name, matrix) in zip(parts, self.matrices.items(), strict=False):
            cells, (n, _) = pool_max(matrix, FINEST)
            names = words if n == 1 else [str(i * n) for i in range(len(cells))]
            painted(axes, cells, rows=names, columns=names)
            axes.set_title(one_line(name), parse_math=False)
            distances, means = zip(*by_distance(matrix), strict=True) if matrix.size else ((), ())
            parts[-1].plot(distances, means, label=one_line(name), marker="." if len(distances) < 50 else "")
        parts[-1].set(xlabel="distance in tokens", ylabel="mean influence", ylim=(0, None))
        for text in parts[-1].legend(frameon=False).get_texts():
            text.set_parse_math(False)
        figure.suptitle(self.title, parse_math=False)
        figure.set_size_inches(4.4 * len(parts), 4.2)


def distances(n: int) -> list[int]:
    """At most 16 distances below `n`, close ones one by one and far ones in growing steps."""
    if n <= DISTANCES:
        return list(range(n))
    return sorted({0, *np.rint(np.geomspace(1, n - 1, DISTANCES - 1)).astype(int).tolist()})
