"""Changes to what a model computes on its way: heads switched off, values of another run put in, vectors added.

An edit names places (`clearhead.trace.schema`) and says what becomes of their values. Both executors apply it where the
value arises, so that everything after it follows from the changed one. Where attention weights are edited, the sum over
values that they make is taken in the open, in float32: beside 16-bit or 8-bit numbers, that alone moves logits about as
much as their rounding does.

T queries, H heads, K key/value heads, D head_dim, C d_model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearhead.config import ModelConfig
from clearhead.errors import OptionError
from clearhead.trace.choice import matching
from clearhead.trace.schema import every_place
from clearhead.trace.trace import Trace

Array = NDArray[Any]  # float32, or float64 where the model computes in it
Change = Callable[[Array, int], Array | None]  # values with all heads, and the position of the first of the queries
FIXED = ("tokens", "positions", "sum", "bias", "logits")  # what nothing is computed from by itself, or everything


@dataclass(frozen=True, slots=True)
class Edit:
    """Change the values at some places.

    `where` is a kind, a path or a pattern, as a trace chooses them. `change(values, first)` gets the values of one call
    with the axes of the place: all heads, and the queries (or, for keys and values, the keys) from position `first` on.
    It changes them in place, or returns what stands instead. Keys and values of cross-attention arise with the
    encoder's output, and are edited there. `config` is of the model it was made for, where it only fits one.
    """

    where: str
    change: Change
    description: str = ""  # in a few words, for people
    config: ModelConfig | None = None

    def __repr__(self) -> str:
        return f"<edit: {self.description or self.where}>"


def ablate(module: str, heads: Sequence[int], *, positions: Sequence[int] | None = None) -> Edit:
    """Switch heads off: what they give to the output projection becomes zero (Michel et al. 2019, 1905.10650).

    `module` is an attention module's path (`decoder.layers.3.attention`, or TransformerLens's `blocks.3.attn`) or a
    pattern; heads may count from the end; `positions` limits it to the tokens at those.

    Raises:
        OptionError: no heads, or heads or positions that are no whole numbers.
    """
    chosen = whole_numbers("heads", heads)
    if not chosen:
        raise OptionError("heads is empty; name the heads to switch off")
    places = checked_positions(positions)

    def change(values: Array, first: int) -> None:
        for head in chosen:
            if not -len(values) <= head < len(values):
                raise OptionError(f"heads names {head}; {module} has heads 0 to {len(values) - 1}")
            values[head, rows(places, first, values.shape[1])] = 0

    hook = "hook_z" if "blocks." in module else "heads"
    named = "head" if len(chosen) == 1 else "heads"
    return Edit(f"{module}.{hook}", change, f"{named} {', '.join(map(str, chosen))} of {module} off")


def patch(source: Trace, where: str | Sequence[str], *, positions: Sequence[int] | None = None) -> list[Edit]:
    """Put another run's values in (Meng et al. 2022, 2202.05262: causal tracing): those that `source` holds at the
    places `where` means, position by position, with the heads it holds.

    Raises:
        OptionError: `source` holds none of these places, or not these positions.
    """
    patterns = [where] if isinstance(where, str) else list(where)
    named = {path for kind in patterns for path in matching(kind, source.config, name="where")}
    held = [path for path in source.paths if path in named and path.rsplit(".", 1)[-1] not in FIXED]
    if not held:
        raise OptionError(f"the trace holds nothing that {', '.join(patterns)} means and an edit can set")
    chosen = checked_positions(positions)
    return [
        Edit(path, from_run(source, path, chosen), f"{path} from another run", config=source.config) for path in held
    ]


def from_run(source: Trace, path: str, positions: Sequence[int] | None) -> Change:
    """Set a place to what another run had there."""
    place = source.choice.places[path]
    axis = place.axes.index("T" if "T" in place.axes else "S")
    heads = list(source.choice.heads) if place.axes[0] == "H" else slice(None)
    begin = source.spans[place.stack].first if "T" in place.axes else 0
    end = begin + source[path].shape[axis]
    if positions is not None and (outside := [p for p in positions if not begin <= p < end]):
        raise OptionError(f"positions names {outside[0]}; the trace holds {begin} to {end - 1} of {path}")

    def change(values: Array, first: int) -> None:
        given = np.moveaxis(source[path], axis, 0)
        own = np.moveaxis(values, axis, 0)
        for i in rows(positions, first, len(own)):
            if not begin <= first + i < end:
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
    """Add a vector, times `scale`, to the values of each token (Turner et al. 2023, 2308.10248).

    `where` is a place with axes [T, C] or [T, F], such as `decoder.layers.5.output`, the residual stream after a layer.
    The bare kind `output` would mean every output there is, of sublayers too.

    Raises:
        OptionError: a vector that is none, or positions that are no whole numbers.
    """
    added = np.asarray(vector, dtype=np.float64) * scale
    if added.ndim != 1 or not np.isfinite(added).all():
        raise OptionError(f"a steering vector has one axis of finite numbers; this one has shape {added.shape}")
    chosen = checked_positions(positions)

    def change(values: Array, first: int) -> None:
        if values.ndim != 2 or values.shape[1] != len(added):
            raise OptionError(f"{where} has values of shape {values.shape}; the vector has {len(added)} numbers")
        values[rows(chosen, first, len(values))] += added.astype(values.dtype)

    return Edit(where, change, f"a vector of length {float(np.linalg.norm(added)):.3g} added to {where}")


def flat(edits: Edit | Sequence[Edit | Sequence[Edit]]) -> tuple[Edit, ...]:
    """One edit, or edits and lists of them such as `patch` gives, as one list in order.

    Raises:
        OptionError: something that is no edit.
    """
    given = [edits] if isinstance(edits, Edit) else edits
    found = tuple(e for edit in given for e in ([edit] if isinstance(edit, Edit | str) else edit))
    if wrong := [e for e in found if not isinstance(e, Edit)]:
        raise OptionError(f"edits holds {wrong[0]!r:.60}; make edits with ablate, patch, steer or Edit")
    return found


def checked_positions(positions: Sequence[int] | None) -> list[int] | None:
    """Positions of tokens, from 0 on; how many there will be is not known beforehand, so none counts from the end."""
    if positions is None:
        return None
    chosen = whole_numbers("positions", positions)
    if chosen and chosen[0] < 0:
        raise OptionError(f"positions names {chosen[0]}; positions count from 0, for a run may go on")
    return chosen


def whole_numbers(name: str, given: Sequence[int]) -> list[int]:
    """A list of whole numbers, each once, in order."""
    if isinstance(given, str) or not hasattr(given, "__iter__"):
        raise OptionError(f"{name} is {given!r}; it must be a list, even of one")
    for i in given:
        if isinstance(i, bool) or not isinstance(i, int | np.integer):
            raise OptionError(f"{name} names {i!r}; it must hold whole numbers")
    return sorted({int(i) for i in given})


def rows(positions: Sequence[int] | None, first: int, count: int) -> list[int]:
    """Those of `count` rows from position `first` on that are at the chosen positions."""
    return list(range(count)) if positions is None else [p - first for p in positions if first <= p < first + count]


class Edits:
    """Edits resolved for one model: for each place, the changes to make there, in order.

    Raises:
        OptionError: a place that the model lacks or that cannot be changed, or an edit made for another model.
    """

    def __init__(self, config: ModelConfig, edits: Sequence[Edit]) -> None:
        self.config = config
        self.places = {place.path: place for place in every_place(config)}
        self.changes: dict[str, list[Change]] = {}
        for edit in edits:
            if edit.config is not None and edit.config != config:
                raise OptionError(f"{edit!r} was made from another model's run; trace this model")
            named = matching(edit.where, config, name="an edit")
            free = [path for path in self.places if path in named and path.rsplit(".", 1)[-1] not in FIXED]
            if not free:
                raise OptionError(f"{edit.where!r} cannot be edited; {', '.join(FIXED)} are not, all other places are")
            for path in free:
                self.changes.setdefault(path, []).append(edit.change)

    def __contains__(self, path: str) -> bool:
        """Whether something is changed at a place."""
        return path in self.changes

    def apply(self, path: str, values: Array, first: int) -> None:
        """Change the values of a place in place; they belong to positions from `first` on."""
        make(self.changes.get(path, ()), path, values, first)


def make(changes: Sequence[Change], path: str, values: Array, first: int) -> None:
    """Make the changes of one place, one after the other.

    Raises:
        OptionError: a change that returns values of another shape.
    """
    for change in changes:
        instead = change(values, first)
        if instead is not None and instead is not values:
            if np.shape(instead) != values.shape:
                raise OptionError(f"an edit of {path} returned shape {np.shape(instead)}, not {values.shape}")
            values[...] = instead
