"""Positions as the native executor reads them: the formulas of `clearhead.positions`, written out as tables.

Tables grow by doubling, so that a short text does not pay for the longest. H heads, D head_dim, C d_model.
"""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from clearhead.config import ModelConfig
from clearhead.native import _native
from clearhead.positions import alibi_slopes, relative_bucket, rotary_amplitude, rotary_frequencies, sinusoidal

Array = NDArray[np.float32]
FIRST = 512  # positions of the first tables
BEYOND = 16  # distances a kernel may read past the last key, for it takes keys in sixteens


class PositionTables:
    """The tables of one stack."""

    def __init__(self, config: ModelConfig, stack: str, arrays: Mapping[str, Array]) -> None:
        self.config, self.stack, self.arrays = config, stack, arrays
        self.tables = lru_cache(maxsize=2)(self.build)

    def reach(self, length: int) -> _native.Positions:
        """Tables for the positions 0 to length - 1, and maybe more."""
        size = FIRST
        while size < length:
            size *= 2
        return self.tables(size)

    def build(self, size: int) -> _native.Positions:
        """Tables of `size` positions."""
        cosines, sines = self.rotary(size)
        bias = self.bias(size + BEYOND)
        return _native.Positions(self.added(size), cosines, sines, bias, size + BEYOND)

    def added(self, size: int) -> Array | None:
        """[positions, C]: what is added to the embedding of a token at each position."""
        if self.config.position == "learned":
            return self.arrays["embed.positions.weight"]
        if self.config.position == "sinusoidal":
            return np.ascontiguousarray(sinusoidal(np.arange(size), self.config.d_model), dtype=np.float32)
        return None

    def rotary(self, size: int) -> tuple[Array, Array] | tuple[None, None]:
        """Cosines and sines [positions, D / 2]; formed in float64, for long positions turn far."""
        c = self.config
        if c.position != "rotary":
            return None, None
        angles = np.arange(size)[:, None] * rotary_frequencies(c.head_dim, c.rotary_base, c.rotary_scaling)
        amplitude = rotary_amplitude(c)
        cosines, sines = np.cos(angles) * amplitude, np.sin(angles) * amplitude
        return cosines.astype(np.float32), sines.astype(np.float32)

    def bias(self, reach: int) -> Array | None:
        """[H + 1, 2 * reach + 1]: what is added to the score of a key at each distance from the query, -reach first.
        The last row is only there to be read past the end of."""
        c, distances = self.config, np.arange(-reach, reach + 1)
        if c.position == "alibi":
            values = (-alibi_slopes(c.n_heads)[:, None] * np.abs(distances)).astype(np.float32)
        elif c.position == "relative":
            buckets = relative_bucket(
                distances,
                bidirectional=self.stack == "encoder",
                buckets=c.relative_buckets,
                max_distance=c.relative_max_distance,
            )
            values = self.arrays[f"{self.stack}.position_bias.weight"][buckets].T
        else:
            return None
        return np.concatenate([values, np.zeros_like(values[:1])])

    def score_bias(self, first: int, new: int) -> Array:
        """[H or 1, new, S]: what is added to the scores of queries from position `first` on, for a trace to show; minus
        infinity where a decoder's query may not look."""
        keys = np.arange(first + new)
        distance = keys - np.arange(first, first + new)[:, None]  # [T, S]
        table = self.bias(first + new)
        shown = np.zeros((1, *distance.shape), np.float32) if table is None else table[:-1, distance + first + new]
        return np.where(distance > 0, np.float32("-inf"), shown) if self.stack == "decoder" else shown
