"""Changes to what a model computes on its way: heads switched off, values of another run put in, vectors added.

An edit names places (`clearhead.trace.schema`) and says what becomes of their values. Both executors apply it where the
value arises, so that everything after it follows from the changed one.

T queries, H heads, K key/value heads, D head_dim, C d_model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from clearhead.config import ModelConfig
from clearhead.errors import OptionError
from clearhead.trace.choice import matching
from clearhead.trace.schema import Place, places, stacks
from clearhead.trace.trace import Trace

Array = NDArray[np.float32]
Change = Callable[[Array, int], None]  # values in place, with all heads; and the position of the first of the queries
FIXED = ("tokens", "positions", "sum", "bias", "logits")  # what nothing is computed from by itself, or everything


@dataclass(frozen=True, slots=True)
class Edit:
    """Change the values at some places, in place.

    `where` is a kind, a path or a pattern, as a trace chooses them. `change(values, first)` gets the values of one call
    with the axes of the place: all heads, and the queries (or, for keys and values, the keys) from position `first` on.
    """

    where: str
    change: Change
    said: str  # in a few words, for people

    def __repr__(self) -> str:
        return f"<edit: {self.said}>"


def ablate(module: str, heads: Sequence[int], *, positions: Sequence[int] | None = None) -> Edit:
    """Switch heads off: what they give to the output projection becomes zero (Michel et al. 2019, 1905.10650).

    `module` is an attention module's path (`decoder.layers.3.attention`) or a pattern; `positions` limits it to the
    tokens at those.
    """
    chosen = sorted(set(heads))
    if not chosen:
        raise OptionError("heads is empty; name the heads to switch off")

    def change(values: Array, first: int) -> None:
        for head in chosen:
            if not -len(values) <= head < len(values):
                raise OptionError(f"heads names {head}; {module} has heads 0 to {len(values) - 1}")
            values[head, rows(positions, first, values.shape[1])] = 0

    return Edit(f"{module}.heads", change, f"heads {', '.join(map(str, chosen))} of {module} off")


def patch(source: Trace, where: str | Sequence[str], *, positions: Sequence[int] | None = None) -> list[Edit]:
    """Put another run's values in (Meng et al. 2022, 2202.05262: causal tracing): those that `source` holds at the
    places `where` means, position by position, with the heads it holds.

    Raises:
        OptionError: `source` holds none of these places.
    """
    patterns = [where] if isinstance(where, str) else list(where)
    named = {path for pattern in patterns for path in matching(pattern, source.config, every(source.config))}
    held = [path for path in source.paths if path in named and path.rsplit(".", 1)[-1] not in FIXED]
    if not held:
        raise OptionError(f"the trace holds nothing that {', '.join(patterns)} means and an edit can set")
    return [Edit(path, from_run(source, path, positions), f"{path} from another run") for path in held]


def from_run(source: Trace, path: str, positions: Sequence[int] | None) -> Change:
    """Set a place to what another run had there."""
    place = source.choice.places[path]
    start = source.spans[place.stack].first
    axis = place.axes.index("T" if "T" in place.axes else "S")
    heads = list(source.choice.heads) if place.axes[0] == "H" else slice(None)

    def change(values: Array, first: int) -> None:
        given = np.moveaxis(source[path], axis, 0)
        own = np.moveaxis(values, axis, 0)
        begin = start if "T" in place.axes else 0
        for i in rows(positions, first, len(own)):
            if not 0 <= first + i - begin < len(given):
                continue
            value = given[first + i - begin]
            if place.axes[-1] == "S":  # keys beyond those of the other run were not there
                own[i, heads] = 0
                own[i, heads, : value.shape[-1]] = value[..., : own.shape[-1]]
            elif axis == 0:
                own[i] = value
            else:
                own[i, heads] = value

    return change


def steer(
    where: str, vector: Sequence[float] | Array, *, scale: float = 1.0, positions: Sequence[int] | None = None
) -> Edit:
    """Add a vector [C] to the residual stream (Turner et al. 2023, 2308.10248), times `scale`.

    `where` is a place with axes [T, C], such as `decoder.layers.5.output`.
    """
    added = np.asarray(vector, dtype=np.float32) * np.float32(scale)
    if added.ndim != 1 or not np.isfinite(added).all():
        raise OptionError(f"a steering vector has one axis of finite numbers; this one has shape {added.shape}")

    def change(values: Array, first: int) -> None:
        if values.ndim != 2 or values.shape[1] != len(added):
            raise OptionError(f"{where} has values of shape {values.shape}; the vector has {len(added)} numbers")
        values[rows(positions, first, len(values))] += added

    return Edit(where, change, f"a vector of length {float(np.linalg.norm(added)):.3g} added to {where}")


def flat(edits: Sequence[Edit | Sequence[Edit]]) -> tuple[Edit, ...]:
    """Edits, and lists of them such as `patch` gives, as one list in order."""
    return tuple(e for edit in edits for e in ([edit] if isinstance(edit, Edit) else edit))


def rows(positions: Sequence[int] | None, first: int, count: int) -> list[int]:
    """Those of `count` rows from position `first` on that are at the chosen positions."""
    return list(range(count)) if positions is None else [p - first for p in positions if first <= p < first + count]


def every(config: ModelConfig) -> list[Place]:
    """All places of a model."""
    return [place for stack in stacks(config) for place in places(config, stack)]


class Edits:
    """Edits resolved for one model: for each place, the changes to make there, in order.

    Raises:
        OptionError: a place that the model lacks, or that cannot be changed.
    """

    def __init__(self, config: ModelConfig, edits: Sequence[Edit]) -> None:
        self.config = config
        self.places = {place.path: place for place in every(config)}
        self.changes: dict[str, list[Change]] = {}
        for edit in edits:
            named = matching(edit.where, config, list(self.places.values()))
            free = [path for path in self.places if path in named and path.rsplit(".", 1)[-1] not in FIXED]
            if not free:
                raise OptionError(f"{edit.where!r} cannot be edited; {', '.join(FIXED)} are not, all other places are")
            for path in free:
                self.changes.setdefault(path, []).append(edit.change)

    @cached_property
    def paths(self) -> frozenset[str]:
        """Where something is changed."""
        return frozenset(self.changes)

    def apply(self, path: str, values: Array, first: int) -> None:
        """Change the values of a place, which belong to positions from `first` on."""
        for change in self.changes.get(path, ()):
            change(values, first)
