"""Learned positions: a table of vectors. P positions, C d_model."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from rich.text import Text

from clearhead.config import Position
from clearhead.lens.payload import Payload
from clearhead.lens.positions import MOST_CURVES, Positions
from clearhead.lens.schemes.scheme import Floats, Scheme, Source
from clearhead.lens.terminal import fit, heat_map
from clearhead.lens.vectors import cosines
from clearhead.lens.view import WIDTH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ROWS = 32  # of a heat map in a terminal
SENT = 128  # positions at least on a page, where the model has them; a table of 512 would take 2 MB


@dataclass(frozen=True, kw_only=True, repr=False)
class LearnedPositions(Scheme):
    """A vector per position, learned like those of tokens (Devlin et al. 2018; Radford et al. 2019)."""

    vectors: Floats  # [P, C]
    title: str = "Learned positions"
    scheme: ClassVar[Position] = "learned"
    shown: int  # the first positions, those that a page gets

    @property
    def about(self) -> str:
        """How to read the picture."""
        text = (
            "Each row is the learned vector of one position, added to the embedding of the token there. "
            "Cosines show which positions the model holds to be alike."
        )
        if self.shown < len(self.vectors):
            text += f" Here are the first {self.shown} positions."
        return text

    @cached_property
    def cosines(self) -> Floats:
        """[P, P]: between positions."""
        return cosines(self.vectors)

    @property
    def figures(self) -> dict[str, Any]:
        """The table, and the cosines of neighbours and of the first position with all."""
        near = np.diagonal(self.cosines, 1)
        return {
            "scheme": self.scheme,
            "positions": len(self.vectors),
            "d_model": self.vectors.shape[1],
            "norms": np.linalg.norm(self.vectors, axis=1).tolist(),
            "cosine_of_neighbours": near.tolist(),
            "matrix": self.vectors[: len(self.labels)].tolist(),
        }

    def fill(self, payload: Payload) -> dict[str, Any]:
        """The vectors of the first positions, and their cosines."""
        n = self.shown
        return self.common() | {
            "labels": list(self.labels[:n]),
            "d": self.vectors.shape[1],
            "curvesKey": payload.put(f"positions/learned/{n}/vectors", self.vectors[:n], dtype="f32"),
            "dotsKey": payload.put(f"positions/learned/{n}/cosines", self.cosines[:n, :n], dtype="f32"),
        }

    def draw(self, figure: "Figure") -> None:
        """The table beside the cosines."""
        from clearhead.lens.painting import paint_matrix

        left, right = figure.subplots(1, 2)
        paint_matrix(left, self.vectors, signed=True, limits=spread(self.vectors))
        left.set(title="the learned vectors", xlabel="dimension", ylabel="position")
        paint_matrix(right, self.cosines, signed=True, limits=(-1, 1))
        right.set(title="cosine between positions", xlabel="position", ylabel="position")
        figure.suptitle(self.title)

    def terminal(self, width: int = WIDTH) -> Text:
        """Cosines between positions, evenly chosen where there are many."""
        some = np.unique(np.linspace(0, len(self.vectors) - 1, MOST_ROWS).astype(int))
        out = self.heading(width).append(fit("cosine between positions", width) + "\n", "dim")
        names = [str(k) for k in some]
        grid = self.cosines[np.ix_(some, some)]
        return out.append_text(heat_map(grid, rows=names, columns=names, width=width, signed=True, limits=(-1, 1)))


def spread(values: Floats) -> tuple[float, float]:
    """Ends of colours that a few outliers do not wash out: the 99th percentile on both sides of 0."""
    furthest = float(np.percentile(np.abs(values), 99)) or 1.0
    return -furthest, furthest


def learned_views(source: Source) -> list[Positions]:
    """The table of the first positions."""
    vectors = source.weight_of("embed.positions.weight")[:MOST_CURVES].astype(np.float32)
    shown = min(len(vectors), max(SENT, len(source.labels)))
    labels = (*source.labels[: len(vectors)], *(str(k) for k in range(len(source.labels), len(vectors))))
    return [LearnedPositions(**source.common | {"labels": labels}, vectors=vectors, shown=shown)]
