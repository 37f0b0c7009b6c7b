"""Two traces of one model side by side: where their values part, and by how much."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from clearhead.errors import OptionError
from clearhead.trace.trace import Array, Trace


@dataclass(frozen=True, slots=True)
class Difference:
    """How far the values at one place lie apart, over the positions that both traces have."""

    path: str
    largest: float  # absolute
    relative: float  # the length of the difference over the length of the first


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """Every place that both traces hold, in the order of data flow; and at which positions their tokens differ."""

    differences: tuple[Difference, ...]
    tokens: dict[str, list[int]]  # positions by stack

    def __iter__(self) -> Iterator[Difference]:
        return iter(self.differences)

    @property
    def equal(self) -> bool:
        """Whether no bit differs."""
        return all(d.largest == 0 for d in self.differences) and not any(self.tokens.values())

    @property
    def first(self) -> Difference | None:
        """The first place, in the order of data flow, whose values differ."""
        return next((d for d in self.differences if d.largest > 0), None)

    def __repr__(self) -> str:
        worst = max(self.differences, key=lambda d: d.relative, default=None)
        where = "equal" if worst is None or self.equal else f"furthest apart at {worst.path}: {worst.relative:.3g}"
        parted = [f"tokens differ from {row[0]} on in the {stack}" for stack, row in self.tokens.items() if row]
        return f"<comparison of {len(self.differences)} places: {'; '.join([where, *parted])}>"


def compare(one: Trace, other: Trace) -> Comparison:
    """Two traces over the positions they share.

    Raises:
        OptionError: they are of two models, or hold no place in common.
    """
    if one.config != other.config:
        raise OptionError("these traces are of two models; compare runs of one")
    if one.choice.heads != other.choice.heads:
        raise OptionError(f"these traces hold different heads, {one.choice.heads} and {other.choice.heads}")
    shared = [path for path in one.paths if path in other.arrays]
    if not shared:
        raise OptionError("these traces hold no place in common; trace the same kinds of both")
    parted = {
        stack: [i for i, (a, b) in enumerate(zip(one.ids[stack], other.ids[stack], strict=False)) if a != b]
        for stack in one.ids
        if stack in other.ids
    }
    return Comparison(tuple(difference(path, one, other) for path in shared), parted)


def difference(path: str, one: Trace, other: Trace) -> Difference:
    """At one place."""
    place = one.choice.places[path]
    starts = one.spans[place.stack].first, other.spans[place.stack].first
    a, b = (from_position(trace, path, max(starts)) for trace in (one, other))
    shape = tuple(slice(min(n, m)) for n, m in zip(a.shape, b.shape, strict=True))
    a, b = a[shape], b[shape]
    hidden = (np.isneginf(a) & np.isneginf(b)) | (np.isnan(a) & np.isnan(b))  # a score bias hides; NaN equals itself
    apart = np.abs(np.subtract(a, b, where=~hidden, out=np.zeros(a.shape, np.result_type(a, b))))
    length = float(np.sqrt(np.square(a, where=~hidden, out=np.zeros_like(a)).sum(dtype=np.float64)))
    largest = float(apart.max(initial=0))
    return Difference(path, largest, float(np.sqrt(np.square(apart).sum(dtype=np.float64))) / max(length, 1e-30))


def from_position(trace: Trace, path: str, first: int) -> Array:
    """What a trace holds at a place, its queries from position `first` on."""
    place = trace.choice.places[path]
    if "T" not in place.axes:
        return trace[path]
    skipped = slice(first - trace.spans[place.stack].first, None)
    return trace[path][(slice(None),) * place.axes.index("T") + (skipped,)]
