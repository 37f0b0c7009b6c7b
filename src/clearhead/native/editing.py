"""Edits as the kernels make them: a function called back wherever something changes, while all threads wait."""

import threading

import numpy as np
from numpy.typing import NDArray

from clearhead.config import ModelConfig
from clearhead.edits import Edits, make
from clearhead.errors import OptionError
from clearhead.native import _native
from clearhead.native.capture import kind
from clearhead.trace.schema import Place, StackName

Array = NDArray[np.float32]
UNDER_WAY = threading.local()  # `.edit` is set while an edit runs: the threads that would run a model wait for its end


def check_outside_edits() -> None:
    """Refuse to run a model from within an edit, which would wait for itself.

    Raises:
        OptionError: an edit is under way in this thread.
    """
    if getattr(UNDER_WAY, "edit", False):
        raise OptionError("an edit cannot run a model; let it collect the values, and run the model afterwards")


class StackEdits:
    """The edits of one stack's calls; called by the kernels with a place and its rows.

    Keys and values that cross-attention reads arise while the encoder runs, so they are edited there, though they are
    places of the decoder.
    """

    def __init__(self, edits: Edits, stack: StackName) -> None:
        made = {path: edits.places[path] for path in edits.changes}
        mine = [place for place in made.values() if ("encoder" if from_memory(place) else place.stack) == stack]
        self.config, self.changes, self.first = edits.config, edits.changes, 0
        self.places = {(kind(place), -1 if place.layer is None else place.layer): place for place in mine}

    def __call__(self, name: str, layer: int, rows: Array) -> None:
        """Let the edits of one place change a copy of its rows, which they may keep; the kernels' memory is theirs."""
        place = self.places[name, layer]
        values = shaped(rows, place, self.config).copy()
        UNDER_WAY.edit = True
        try:
            make(self.changes[place.path], place.path, values, 0 if from_memory(place) else self.first)
        finally:
            UNDER_WAY.edit = False
        shaped(rows, place, self.config)[...] = values


class Editing:
    """The edits of a run as the kernels know them, made once for all calls."""

    def __init__(self, edits: Edits) -> None:
        stacks: tuple[StackName, ...] = ("encoder", "decoder")
        self.stacks = {stack: StackEdits(edits, stack) for stack in stacks}
        self.native = {s: _native.Edits(list(e.places), e) if e.places else None for s, e in self.stacks.items()}

    def at(self, stack: StackName, first: int) -> _native.Edits | None:
        """Ready for a call of a stack whose tokens begin at position `first`; None where nothing of it is edited."""
        self.stacks[stack].first = first
        return self.native[stack]


def from_memory(place: Place) -> bool:
    """Whether a place is made of the encoder's output, once for all steps of the decoder."""
    return place.across and place.axes == "KSD"


def shaped(rows: Array, place: Place, config: ModelConfig) -> Array:
    """Rows as the kernels have them [T, H * D], or [H * T, S] for weights, with the axes of their place: a view."""
    match place.axes:
        case "HTS":
            return rows.reshape(config.n_heads, -1, rows.shape[1])
        case "HTD" | "KSD":
            heads = config.n_heads if place.axes == "HTD" else config.n_kv_heads
            return np.lib.stride_tricks.as_strided(
                rows,
                (heads, len(rows), config.head_dim),
                (config.head_dim * rows.strides[1], rows.strides[0], rows.strides[1]),
            )
        case _:
            return rows
