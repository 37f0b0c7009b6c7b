"""How a loaded model turns positions into numbers: each scheme with a picture of its own, from the model's weights.

P positions, C d_model, D head_dim, H heads.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from clearhead.config import ModelConfig, Position
from clearhead.errors import OptionError
from clearhead.lens.payload import Payload
from clearhead.lens.positions import CURVES, MOST_CURVES, MOST_LINES, Positions, encoding
from clearhead.lens.terminal import bar, fit, heat_map, table
from clearhead.lens.vectors import cosines
from clearhead.lens.view import WIDTH
from clearhead.positions import alibi_slopes, relative_bucket, rotary_amplitude, rotary_frequencies
from clearhead.text.printable import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.floating[Any]]
WeightOf = Callable[[str], NDArray[Any]]  # a weight by its name in families/layout.py
MOST_ROWS = 32  # of a heat map in a terminal


@dataclass(frozen=True, kw_only=True, repr=False)
class Scheme(Positions):
    """What the views of a model's own positions share."""

    name: str  # of the model
    labels: tuple[str, ...]  # of positions: tokens or numbers
    scheme: ClassVar[Position]

    @property
    @abstractmethod
    def about(self) -> str:
        """How to read the picture, in two sentences."""

    @property
    def model(self) -> dict[str, Any]:
        """Whose positions these are."""
        return {"name": self.name}

    def heading(self, width: int) -> Text:
        """The first lines in a terminal."""
        return Text().append(fit(self.title, width) + "\n\n", "bold")

    def common(self) -> dict[str, Any]:
        """Fields that every scheme has."""
        return {"scheme": self.scheme, "list": None, "labels": list(self.labels), "note": self.about}


@dataclass(frozen=True, kw_only=True, repr=False)
class LearnedPositions(Scheme):
    """A vector per position, learned like those of tokens (Devlin et al. 2018; Radford et al. 2019)."""

    vectors: Floats  # [P, C]
    title: str = "Learned positions"
    scheme: ClassVar[Position] = "learned"
    about: ClassVar[str] = (
        "Each row is the learned vector of one position, added to the embedding of the token there. "
        "Cosines show which positions the model holds to be alike."
    )

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
        """The vectors and their cosines."""
        return self.common() | {
            "d": self.vectors.shape[1],
            "curvesKey": payload.put("positions/learned/vectors", self.vectors, dtype="f32"),
            "dotsKey": payload.put("positions/learned/cosines", self.cosines, dtype="f32"),
        }

    def draw(self, figure: "Figure") -> None:
        """The table beside the cosines."""
        from clearhead.lens.painting import heat_map as paint

        left, right = figure.subplots(1, 2)
        paint(left, self.vectors, signed=True, limits=spread(self.vectors))
        left.set(title="the learned vectors", xlabel="dimension", ylabel="position")
        paint(right, self.cosines, signed=True, limits=(-1, 1))
        right.set(title="cosine between positions", xlabel="position", ylabel="position")
        figure.suptitle(self.title)

    def terminal(self, width: int = WIDTH) -> Text:
        """Cosines between positions, evenly chosen where there are many."""
        some = np.unique(np.linspace(0, len(self.vectors) - 1, MOST_ROWS).astype(int))
        out = self.heading(width).append(fit("cosine between positions", width) + "\n", "dim")
        names = [str(k) for k in some]
        grid = self.cosines[np.ix_(some, some)]
        return out.append_text(heat_map(grid, rows=names, columns=names, width=width, signed=True, limits=(-1, 1)))


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
        from clearhead.lens.painting import ACCENT
        from clearhead.lens.painting import heat_map as paint

        left, right = figure.subplots(1, 2)
        left.plot(self.wavelengths, color=ACCENT, marker=".")
        left.set(title="positions per full turn", xlabel="pair of dimensions", yscale="log")
        paint(right, np.cos(self.angles), signed=True, limits=(-1, 1))
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


@dataclass(frozen=True, kw_only=True, repr=False)
class RelativePositions(Scheme):
    """A learned bias per head and bucket of distances (Raffel et al. 2019, section 2.1)."""

    stack: str
    bidirectional: bool
    distances: NDArray[np.int64]  # [P]: key position minus query position
    buckets: NDArray[np.int64]  # [P]
    bias: Floats  # [H, P]
    scheme: ClassVar[Position] = "relative"

    @property
    def title(self) -> str:  # type: ignore[override]
        """What is shown."""
        return f"Relative positions of the {self.stack}"

    @property
    def about(self) -> str:
        """How to read the picture, in two sentences."""
        ways = "before and after the query" if self.bidirectional else "before the query"
        return (
            f"Each head adds a learned number to the score of a key, by the bucket of its distance {ways}. "
            "Near distances have a bucket each, far ones share wider and wider buckets."
        )

    @property
    def figures(self) -> dict[str, Any]:
        """Buckets of distances, and the bias of each head."""
        return {
            "scheme": self.scheme,
            "stack": self.stack,
            "bidirectional": self.bidirectional,
            "distances": self.distances.tolist(),
            "buckets": self.buckets.tolist(),
            "bias": self.bias.tolist(),
        }

    def fill(self, payload: Payload) -> dict[str, Any]:
        """Buckets, and the bias by distance."""
        return self.common() | {
            "bidirectional": self.bidirectional,
            "buckets": self.buckets.tolist(),
            "distances": self.distances.tolist(),
            "biasKey": payload.put(f"positions/relative/{self.stack}/bias", self.bias, dtype="f32"),
            "stack": self.stack,
        }

    def draw(self, figure: "Figure") -> None:
        """The bias of every head by distance."""
        from clearhead.lens.painting import heat_map as paint

        axes = figure.subplots()
        ends = (self.distances[0] - 0.5, self.distances[-1] + 0.5, len(self.bias) - 0.5, -0.5)
        paint(axes, self.bias, signed=True)
        axes.images[0].set_extent(ends)
        axes.set(title=self.title, xlabel="key position minus query position", ylabel="head")

    def terminal(self, width: int = WIDTH) -> Text:
        """The bias of every head for every bucket, nearest first."""
        nearest = np.argsort(np.abs(self.distances), kind="stable")
        buckets = {int(self.buckets[i]): int(i) for i in nearest[::-1]}  # the nearest distance of each
        kept = sorted(buckets.values(), key=lambda i: abs(int(self.distances[i])))[: max(8, width - 5)]
        order = sorted(kept)
        names = [str(self.distances[i]) for i in order]
        out = self.heading(width)
        out.append(fit("bias added to the score; columns: distances at which a bucket begins", width) + "\n", "dim")
        heads = [str(h) for h in range(len(self.bias))]
        return out.append_text(heat_map(self.bias[:, order], rows=heads, columns=names, width=width, signed=True))


def spread(values: Floats) -> tuple[float, float]:
    """Ends of colours that a few outliers do not wash out: the 99th percentile on both sides of 0."""
    furthest = float(np.percentile(np.abs(values), 99)) or 1.0
    return -furthest, furthest


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a scheme's view is made from."""

    config: ModelConfig
    weight_of: WeightOf
    labels: tuple[str, ...]
    name: str

    @property
    def common(self) -> dict[str, Any]:
        """Fields that every view has."""
        return {"name": self.name, "labels": self.labels}


def sinusoidal_views(source: Source) -> list[Positions]:
    """The formula with the model's width, in the order of the paper."""
    note = "The model keeps all sines before all cosines; here each sine stands beside the cosine of its wavelength."
    return [encoding(source.labels, source.config.d_model, 10_000, note)]


def learned_views(source: Source) -> list[Positions]:
    """The table of the first positions."""
    vectors = source.weight_of("embed.positions.weight")[:MOST_CURVES].astype(np.float32)
    labels = (*source.labels[: len(vectors)], *(str(k) for k in range(len(source.labels), len(vectors))))
    return [LearnedPositions(**source.common | {"labels": labels}, vectors=vectors)]


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


def alibi_views(source: Source) -> list[Positions]:
    """The slope of each head."""
    return [AlibiPositions(**source.common, slopes=alibi_slopes(source.config.n_heads))]


def relative_views(source: Source) -> list[Positions]:
    """The encoder's biases and the decoder's."""
    c, views = source.config, []
    for stack, n_layers in (("encoder", c.n_encoder_layers), ("decoder", c.n_decoder_layers)):
        if n_layers == 0:
            continue
        reach, both = 2 * c.relative_max_distance, stack == "encoder"
        distances = np.arange(-reach, reach + 1 if both else 1)
        buckets = relative_bucket(
            distances, bidirectional=both, buckets=c.relative_buckets, max_distance=c.relative_max_distance
        )
        bias = source.weight_of(f"{stack}.position_bias.weight")[buckets].T.astype(np.float32)
        views.append(
            RelativePositions(
                **source.common, stack=stack, bidirectional=both, distances=distances, buckets=buckets, bias=bias
            )
        )
    return [*views]


SCHEMES: dict[Position, Callable[[Source], list[Positions]]] = {
    "sinusoidal": sinusoidal_views,
    "learned": learned_views,
    "rotary": rotary_views,
    "alibi": alibi_views,
    "relative": relative_views,
}


def position_views(
    config: ModelConfig, weight_of: WeightOf, *, labels: Sequence[str] | None = None, name: str = ""
) -> list[Positions]:
    """How a model turns positions into numbers; a view per stack where the stacks have biases of their own.

    `weight_of` gives a weight by name, such as `partial(clearhead.lens.weights.weight, checkpoint)`. `labels` name
    positions, such as the tokens of a text; numbers follow where they are fewer than the picture needs.

    Raises:
        OptionError: more labels than the model has positions.
    """
    given = tuple(one_line(label).strip() or "␣" for label in labels or ())
    if len(given) > min(config.max_positions, MOST_CURVES):
        most = min(config.max_positions, MOST_CURVES)
        raise OptionError(f"{len(given):,} tokens are more than can be shown; give a text of at most {most:,}")
    count = min(CURVES, config.max_positions)
    source = Source(
        config=config,
        weight_of=weight_of,
        labels=(*given, *(str(k) for k in range(len(given), count))),
        name=name,
    )
    return SCHEMES[config.position](source)


def position_view(
    config: ModelConfig,
    weight_of: WeightOf,
    *,
    labels: Sequence[str] | None = None,
    name: str = "",
    stack: str | None = None,
) -> Positions:
    """One of `position_views`: the first, or that of a named stack where the stacks differ.

    Raises:
        OptionError: as `position_views`, and a stack that the model lacks.
    """
    depths = {"encoder": config.n_encoder_layers, "decoder": config.n_decoder_layers}
    if stack is not None and not depths.get(stack):
        there = " and ".join(name for name, depth in depths.items() if depth)
        raise OptionError(f"stack is {stack!r}; this model has {there}")
    views = position_views(config, weight_of, labels=labels, name=name)
    return next(view for view in views if stack is None or getattr(view, "stack", stack) == stack)
