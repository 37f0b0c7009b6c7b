"""Rotary positions: pairs of dimensions turned by angles. P positions, D head_dim."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from rich.text import Text

from clearhead.config import Position
from clearhead.lens.payload import Payload
from clearhead.lens.positions import MOST_LINES, Positions
from clearhead.lens.schemes.scheme import Floats, Scheme, Source
from clearhead.lens.terminal import fit, heat_map, table
from clearhead.lens.view import WIDTH
from clearhead.positions import rotary_amplitude, rotary_frequencies

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True, repr=False)
class RotaryPositions(Scheme):
    """Pairs of dimensions of queries and keys turned by an angle that grows with position (Su et al. 2021)."""

    height = 930

    head_dim: int
    base: float
    frequencies: Floats  # [D / 2]: radians per position, as stretched for long texts
    scaling: str | None
    amplitude: float
    title: str = "Rotary positions"
    scheme: ClassVar[Position] = "rotary"

    @property
    def about(self) -> str:
        """How to read the picture, in two sentences."""
        stretched = f" Frequencies are stretched for longer texts ({self.scaling})." if self.scaling else ""
        return (
            "Every pair of dimensions of a query or key is turned by its frequency times the position, so that their "
            f"product depends on how far apart the two tokens are.{stretched}"
        )

    @property
    def wavelengths(self) -> Floats:
        """[D / 2]: positions that one full turn takes."""
        return 2 * math.pi / self.frequencies

    @property
    def angles(self) -> Floats:
        """[P, D / 2]: radians, counted through whole turns."""
        return np.arange(len(self.labels))[:, None] * self.frequencies

    @property
    def figures(self) -> dict[str, Any]:
        """Frequencies and wavelengths."""
        return {
            "scheme": self.scheme,
            "head_dim": self.head_dim,
            "base": self.base,
            "scaling": self.scaling,
            "amplitude": self.amplitude,
            "frequencies": self.frequencies.tolist(),
            "wavelengths": self.wavelengths.tolist(),
        }

    def fill(self, payload: Payload) -> dict[str, Any]:
        """Frequencies, and the angle of every pair at every position."""
        return self.common() | {
            "head_dim": self.head_dim,
            "base": self.base,
            "frequencies": self.frequencies.tolist(),
            "wavelengths": self.wavelengths.tolist(),
            "anglesKey": payload.put(f"positions/rotary/{len(self.labels)}/angles", self.angles, dtype="f32"),
        }

    def draw(self, figure: "Figure") -> None:
        """Wavelengths on a logarithmic axis, and the cosine of every angle."""
        from clearhead.lens.colours import ACCENT
        from clearhead.lens.painting import paint_matrix

        left, right = figure.subplots(1, 2)
        left.plot(self.wavelengths, color=ACCENT, marker=".")
        left.set(title="positions per full turn", xlabel="pair of dimensions", yscale="log")
        paint_matrix(right, np.cos(self.angles), signed=True, limits=(-1, 1))
        right.set(title="cosine of the angle", xlabel="pair of dimensions", ylabel="position")
        figure.suptitle(self.title)

    def terminal(self, width: int = WIDTH) -> Text:
        """Frequency and wavelength of pairs, and the cosine of their angles."""
        some = np.unique(np.linspace(0, len(self.frequencies) - 1, MOST_LINES).astype(int))
        rows = [["pair", "radians per position", "positions per turn"]]
        rows += [[str(i), f"{self.frequencies[i]:.6g}", f"{self.wavelengths[i]:,.4g}"] for i in some]
        out = self.heading(width).append_text(table(rows, right=frozenset({0, 1, 2}), width=width))
        out.append(
            "\n" + fit("cosine of the angle: a line per pair, positions from left to right", width) + "\n", "dim"
        )
        waves = np.cos(self.angles[: max(8, width - 4), some]).T
        names = [str(i) for i in some]
        return out.append_text(heat_map(waves, rows=names, width=width, signed=True, limits=(-1, 1)))


def rotary_views(source: Source) -> list[Positions]:
    """Frequencies as the model uses them, scaling included."""
    c = source.config
    view = RotaryPositions(
        **source.common,
        head_dim=c.head_dim,
        base=c.rotary_base,
        frequencies=rotary_frequencies(c.head_dim, c.rotary_base, c.rotary_scaling),
        scaling=c.rotary_scaling.kind if c.rotary_scaling else None,
        amplitude=rotary_amplitude(c),
    )
    return [view]
