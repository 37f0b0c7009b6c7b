"""ALiBi: scores that fall with distance. P positions, H heads."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from rich.text import Text

from clearhead.config import Position
from clearhead.lens.payload import Payload
from clearhead.lens.positions import Positions
from clearhead.lens.schemes.scheme import Floats, Scheme, Source
from clearhead.lens.terminal import bar, table
from clearhead.lens.view import WIDTH
from clearhead.positions import alibi_slopes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True, repr=False)
class AlibiPositions(Scheme):
    """Scores that fall with distance, each head at its own rate (Press et al. 2021)."""

    slopes: Floats  # [H]
    title: str = "ALiBi: attention with linear biases"
    scheme: ClassVar[Position] = "alibi"
    about: ClassVar[str] = (
        "Positions are not embedded: before the softmax, each head takes its slope times the distance from the score. "
        "A steep head looks close by, a flat one far back."
    )

    @property
    def bias(self) -> Floats:
        """[H, P]: what is added to the score of a key this many positions back."""
        return -self.slopes[:, None] * np.arange(len(self.labels))

    @property
    def figures(self) -> dict[str, Any]:
        """The slope of each head."""
        return {"scheme": self.scheme, "slopes": self.slopes.tolist()}

    def fill(self, payload: Payload) -> dict[str, Any]:
        """Slopes, and the bias by distance."""
        curves = payload.put(f"positions/alibi/{len(self.labels)}/bias", self.bias, dtype="f32")
        return self.common() | {"slopes": self.slopes.tolist(), "curvesKey": curves}

    def draw(self, figure: "Figure") -> None:
        """A line per head."""
        axes = figure.subplots()
        for head, line in enumerate(self.bias):
            axes.plot(line, label=f"head {head}: {self.slopes[head]:.4g}", linewidth=1)
        axes.set(title=self.title, xlabel="positions back", ylabel="added to the score")
        axes.legend(
            fontsize=6, loc="upper left", bbox_to_anchor=(1, 1), ncols=-(-len(self.slopes) // 32), frameon=False
        )

    def terminal(self, width: int = WIDTH) -> Text:
        """Slopes as bars, and where a weight has fallen to half."""
        room = max(4, width - 40)
        steepest = float(self.slopes.max())
        rows = [["head", "slope", "weight halves after", ""]]
        rows += [
            [str(h), f"{s:.6f}", f"{math.log(2) / s:,.1f}", bar(float(s) / steepest, room)]
            for h, s in enumerate(self.slopes)
        ]
        return self.heading(width).append_text(table(rows, right=frozenset({0, 1, 2}), width=width))


def alibi_views(source: Source) -> list[Positions]:
    """The slope of each head."""
    return [AlibiPositions(**source.common, slopes=alibi_slopes(source.config.n_heads))]
