"""Edits as the kernels make them: rows of floats in place, called back for at each place that something changes."""

import numpy as np
from numpy.typing import NDArray

from clearhead.config import ModelConfig
from clearhead.edits import Edits
from clearhead.native import _native
from clearhead.native.capture import kind
from clearhead.trace.schema import Place

Array = NDArray[np.float32]


def native_edits(edits: Edits | None, stack: str, first: int) -> _native.Edits | None:
    """The edits of one call of a stack, whose tokens begin at position `first`.

    Keys and values that cross-attention reads arise while the encoder runs, so they are edited there, though they are
    places of the decoder.
    """
    if edits is None:
        return None
    places = {}
    for path in edits.changes:
        place = edits.places[path]
        made_in = "encoder" if place.across and place.axes == "KSD" else place.stack
        if made_in == stack:
            places[kind(place), -1 if place.layer is None else place.layer] = place

    def change(name: str, layer: int, rows: Array) -> None:
        place = places[name, layer]
        edits.apply(place.path, shaped(rows, place, edits.config), 0 if place.across and place.axes == "KSD" else first)

    return _native.Edits(list(places), change) if places else None


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
