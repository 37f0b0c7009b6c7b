"""Positional encoding: the sinusoids of the first Transformer, for any phrase, width and base.

    P(k, 2i)     = sin(k / n^(2i/d))
    P(k, 2i + 1) = cos(k / n^(2i/d))                (Vaswani et al. 2017, section 3.5, where n is 10,000)

Sine and cosine of one wavelength stand side by side. T words of the phrase, P positions of the curves, d d_model.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from rich.cells import cell_len
from rich.text import Text

from clearhead.config import check_number
from clearhead.errors import OptionError
from clearhead.lens.payload import Payload
from clearhead.lens.terminal import fit, heat_map, table
from clearhead.lens.view import WIDTH, View
from clearhead.positions import Doubles, sinusoidal
from clearhead.text.printable import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVES = 64  # positions of the curves at least, so that short phrases show whole waves too
MOST_CURVES = 512  # ... and at most
MOST_WORDS = 4096  # up to here the angles' own rounding stays below 1e-12
MOST_NUMBERS = 2**22  # of one matrix; a page of more would be slow
LARGEST_BASE = 1e300
MOST_WAVES = 32  # dimensions that a terminal shows as waves, one to a line
MOST_LINES = 8  # curves in one drawing


class Positions(View):
    """How one scheme turns positions into numbers."""

    type = "positions"
    height = 760
    size = (9.6, 7.2)

    @property
    @abstractmethod
    def figures(self) -> dict[str, Any]:
        """The scheme's numbers as plain lists, for `--json`."""


@dataclass(frozen=True, kw_only=True, repr=False)
class PositionalEncoding(Positions):
    """The sinusoidal matrix of a phrase; made by `positional_encoding`."""

    words: tuple[str, ...]
    d_model: int
    n: float
    note: str = ""
    scheme: ClassVar[str] = "sinusoidal"

    @property
    def title(self) -> str:  # type: ignore[override]
        """What is shown."""
        return f"Positional encoding, d = {self.d_model}, n = {self.n:,.6g}"

    @cached_property
    def matrix(self) -> Doubles:
        """[T, d]: a row per word."""
        return interleaved(len(self.words), self.d_model, self.n)

    @cached_property
    def curves(self) -> Doubles:
        """[P, d]: many positions, to see the waves that the words' rows are cut from."""
        return interleaved(min(max(len(self.words), CURVES), MOST_CURVES), self.d_model, self.n)

    @cached_property
    def dots(self) -> Doubles:
        """[P, P]: dot products between positions. With an even d they depend on the distance alone."""
        return np.asarray(self.curves @ self.curves.T)

    @property
    def divisors(self) -> list[float]:
        """n^(2i/d) for each i: what positions are divided by; 2 pi times it is the wavelength."""
        return [self.n ** (2 * i / self.d_model) for i in range((self.d_model + 1) // 2)]

    @property
    def columns(self) -> list[str]:
        """What each dimension is."""
        return [f"{('sin', 'cos')[c % 2]} {c // 2}" for c in range(self.d_model)]

    @property
    def figures(self) -> dict[str, Any]:
        """The matrix, exact."""
        return {
            "scheme": self.scheme,
            "words": list(self.words),
            "d_model": self.d_model,
            "n": self.n,
            "divisors": self.divisors,
            "matrix": self.matrix.tolist(),
        }

    def fill(self, payload: Payload) -> dict[str, Any]:
        """Matrix, curves and dot products."""
        name = f"positions/{self.n!r}/{self.d_model}"
        fields = {
            "scheme": self.scheme,
            "list": None,
            "labels": [one_line(word) for word in self.words],
            "n": self.n,
            "d": self.d_model,
            "matrixKey": payload.put(f"{name}/{len(self.words)}/matrix", self.matrix, dtype="f64"),
            "dotsKey": payload.put(f"{name}/{len(self.curves)}/dots", self.dots, dtype="f64"),
            "curvesKey": payload.put(f"{name}/{len(self.curves)}/curves", self.curves, dtype="f32"),
        }
        return fields | {"note": self.note or self.reading}

    @property
    def reading(self) -> str:
        """How to read the matrix, in two sentences."""
        longest = 2 * math.pi * self.divisors[-1]
        return (
            f"Each pair of columns is a sine and a cosine of one wavelength, from {2 * math.pi:.3g} positions to "
            f"{longest:,.3g}. The dot product of two rows depends on how far apart they are."
        )

    def draw(self, figure: "Figure") -> None:
        """The matrix, the curves behind it, many positions at once, and dot products."""
        from clearhead.lens.painting import paint_matrix, write_values

        (matrix, curves), (many, dots) = figure.subplots(2, 2)
        paint_matrix(matrix, self.matrix, rows=self.words, columns=self.columns, signed=True, limits=(-1, 1))
        matrix.set_title("one row per word")
        if self.d_model <= MOST_LINES and len(self.words) <= 2 * MOST_LINES:
            write_values(matrix, self.matrix, light=lambda x: abs(x) > 0.7)
        positions = np.linspace(0, CURVES, 16 * CURVES)
        for c in np.unique(np.linspace(0, self.d_model - 1, MOST_LINES).astype(int)):
            wave = (np.sin, np.cos)[c % 2]
            curves.plot(positions, wave(positions / self.divisors[c // 2]), label=self.columns[c], linewidth=1)
        curves.set(title="the curves behind the columns", xlabel="position", xlim=(0, CURVES))
        curves.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
        paint_matrix(many, self.curves, signed=True, limits=(-1, 1))
        many.set(title=f"{len(self.curves)} positions", xlabel="dimension", ylabel="position")
        paint_matrix(dots, self.dots)
        dots.set(title="dot products between positions", xlabel="position", ylabel="position")
        figure.suptitle(self.title)

    def terminal(self, width: int = WIDTH) -> Text:
        """The table and its heat map, and where the waves fit, the waves."""
        out = Text().append(fit(self.title, width) + "\n\n", "bold")
        out.append_text(self.rounded(width)).append("\n")
        labels = [one_line(word) for word in self.words[:MOST_CURVES]]
        shades: dict[str, Any] = {"width": width, "signed": True, "limits": (-1.0, 1.0)}
        if self.d_model > MOST_WAVES:
            return out.append_text(heat_map(self.matrix[:MOST_CURVES], rows=labels, **shades))
        out.append_text(heat_map(self.matrix[:MOST_CURVES], rows=labels, columns=self.columns, legend=False, **shades))
        most = max(8, width - max(map(len, self.columns)) - 1)  # shared cells would hide the waves
        waves = self.curves[:most]
        out.append("\n" + fit(f"the first {len(waves)} positions, from left to right", width) + "\n", "dim")
        return out.append_text(heat_map(waves.T, rows=self.columns, **shades))

    def rounded(self, width: int) -> Text:
        """The table with as many digits, and then as many columns, as fit."""
        left = max(cell_len(fit(word, width // 3)) for word in self.words) + len(str(len(self.words))) + 4
        digits = min(max((width - left) // self.d_model - 5, 3), 8)
        most = max(1, (width - left - 3) // (digits + 5))
        whole = self.d_model if self.d_model * (digits + 5) <= width - left else most
        more = ["…"] if whole < self.d_model else []
        rows = [["k", "word", *self.columns[:whole], *more]]
        rows += [
            [str(k), fit(word, width // 3), *(f"{x:.{digits}f}" for x in row[:whole]), *more]
            for k, (word, row) in enumerate(zip(self.words, self.matrix, strict=True))
        ]
        return table(rows, right=frozenset({0, *range(2, whole + 2)}), width=width)


def interleaved(count: int, d_model: int, n: float) -> Doubles:
    """[count, d_model]: sines in the even columns, cosines in the odd ones."""
    apart = sinusoidal(np.arange(count), d_model, n)
    matrix = np.empty_like(apart)
    half = (d_model + 1) // 2
    matrix[:, 0::2], matrix[:, 1::2] = apart[:, :half], apart[:, half:]
    return matrix


def positional_encoding(text: str = "I am a robot", d_model: int = 4, n: float = 100) -> PositionalEncoding:
    """The sinusoidal positional encoding of a phrase, one row per word (words stand between blanks).

    `d_model` is the number of columns, `n` the base of the wavelengths: the paper has 512 and 10,000, which change too
    slowly to be seen in a few words. With an odd `d_model` the last sine has no cosine beside it.

    Raises:
        OptionError: a text without words or of too many, a width below 1, a base below 1 or not finite, or a matrix
            too large to look at.
    """
    if not isinstance(text, str) or not text.split():
        raise OptionError(f"the text {text!r:.40} has no words; give a phrase such as 'I am a robot'")
    return encoding(text.split(), d_model, n)


def encoding(words: Sequence[str], d_model: int, n: float, note: str = "") -> PositionalEncoding:
    """The encoding of these words; errors as `positional_encoding`."""
    check_number("d_model", d_model, 1, MOST_NUMBERS // CURVES, whole=True)
    check_number("n", n, 1, LARGEST_BASE, whole=False)
    if len(words) > MOST_WORDS:
        raise OptionError(f"the text has {len(words):,} words; show at most {MOST_WORDS:,} at once")
    if len(words) * d_model > MOST_NUMBERS:
        raise OptionError(
            f"{len(words):,} words of d_model {d_model:,} are {len(words) * d_model:,} numbers; choose a d_model up to "
            f"{MOST_NUMBERS // len(words):,}"
        )
    return PositionalEncoding(words=tuple(words), d_model=d_model, n=n, note=note)
