"""Keys and values kept between decoding steps, in rows preallocated once and owned by the caller.

B rows, K key/value heads, S positions, D head_dim.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clearhead.errors import ContextWindowError, OptionError

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Slots:
    """Where the new keys of one call go: `counts[i]` of them, right after row i's first `starts[i]` positions."""

    starts: tuple[int, ...]
    counts: tuple[int, ...]

    @property
    def even(self) -> bool:
        """Whether every row writes the same stretch, so that one slice serves all."""
        return len(set(self.starts)) == 1 and len(set(self.counts)) == 1

    @property
    def end(self) -> int:
        """Positions the longest row holds afterwards."""
        return max((s + n for s, n in zip(self.starts, self.counts, strict=True)), default=0)


class KVCache:
    """Keys and values by module path; `lengths[i]` positions of row i are valid in each.

    What lies beyond is masked out of every score, but it is multiplied by that zero: it must be finite, hence zeros.
    """

    def __init__(self, rows: int, capacity: int) -> None:
        self.capacity = capacity
        self.lengths = [0] * rows
        self.stored: dict[str, Pair] = {}  # [B, K, capacity, D] each

    def slots(self, counts: Sequence[int]) -> Slots:
        """Places for `counts[i]` more positions in each row.

        Raises:
            ContextWindowError: a row would hold more than `capacity` positions.
        """
        slots = Slots(tuple(self.lengths), tuple(counts))
        if slots.end > self.capacity:
            raise ContextWindowError(f"{slots.end} tokens do not fit a cache of {self.capacity}; ask for a larger one")
        return slots

    def extend(self, path: str, keys: Tensor, values: Tensor, slots: Slots) -> Pair:
        """Write new keys and values [B, K, T, D] into their slots; give all so far, [B, K, slots.end, D] each."""
        if path not in self.stored:
            B, K, _, D = keys.shape
            self.stored[path] = (keys.new_zeros(B, K, self.capacity, D), keys.new_zeros(B, K, self.capacity, D))
        for stored, new in zip(self.stored[path], (keys, values), strict=True):
            if slots.even:
                stored[:, :, slots.starts[0] : slots.end] = new
            else:
                for row, (start, n) in enumerate(zip(slots.starts, slots.counts, strict=True)):
                    stored[row, :, start : start + n] = new[row, :, :n]
        stored_keys, stored_values = self.stored[path]
        return stored_keys[:, :, : slots.end], stored_values[:, :, : slots.end]

    def advance(self, slots: Slots) -> None:
        """Count this call's positions as held, after every module has written them."""
        self.lengths = [start + n for start, n in zip(slots.starts, slots.counts, strict=True)]

    def truncate(self, lengths: Sequence[int]) -> None:
        """Rewind row i to its first lengths[i] positions.

        Raises:
            OptionError: a length below 0.
        """
        if min(lengths, default=0) < 0:
            raise OptionError(f"a row cannot be rewound to {min(lengths)} tokens; give 0 or more")
        self.lengths = [min(old, new) for old, new in zip(self.lengths, lengths, strict=True)]

    @torch.inference_mode()  # what an executor stored may be changed in this mode alone
    def select(self, rows: Sequence[int]) -> None:
        """Row i continues from old row rows[i]."""
        if list(rows) == list(range(len(self.lengths))):
            return
        used = max(self.lengths, default=0)
        self.lengths = [self.lengths[row] for row in rows]
        for path, (keys, values) in self.stored.items():
            index = torch.tensor(rows, dtype=torch.long, device=keys.device)
            self.stored[path] = (moved(keys, index, used), moved(values, index, used))


def moved(stored: Tensor, index: Tensor, used: int) -> Tensor:
    """Rows of [B, K, capacity, D] in a new order; only their first `used` positions hold anything worth copying."""
    chosen = stored[:, :, :used][index]
    if len(index) != len(stored):
        stored = stored.new_zeros(len(index), *stored.shape[1:])
    stored[:, :, :used] = chosen
    return stored
