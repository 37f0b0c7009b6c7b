"""Relative positions: a learned bias by bucket of distance. P distances, H heads."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from clearhead.config import Position
from clearhead.lens.payload import Payload
from clearhead.lens.positions import Positions
from clearhead.lens.schemes.scheme import Floats, Scheme, Source
from clearhead.lens.terminal import fit, heat_map
from clearhead.lens.view import WIDTH
from clearhead.positions import relative_bucket

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
        from clearhead.lens.painting import paint_matrix

        axes = figure.subplots()
        ends = (self.distances[0] - 0.5, self.distances[-1] + 0.5, len(self.bias) - 0.5, -0.5)
        paint_matrix(axes, self.bias, signed=True)
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
