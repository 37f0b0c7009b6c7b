"""The states a decoder has been in, kept between calls: one after each position of each row.

A row is a list of places in one growing store, so that rows can be rewound, copied and dropped without moving a state.

P vectors of a decoder's state, H d_hidden.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from clearhead.calls import check_room
from clearhead.errors import OptionError


class StateCache:
    """`places[i][t]` is where the state of row i after its position t lies in `kept`."""

    def __init__(self, rows: int, capacity: int) -> None:
        self.capacity = capacity
        self.places: list[list[int]] = [[] for _ in range(rows)]
        self.kept: Tensor | None = None  # [room, P, H]
        self.used = 0

    @property
    def lengths(self) -> list[int]:
        """Positions each row holds."""
        return [len(row) for row in self.places]

    def check(self, counts: Sequence[int]) -> int:
        """The length of the longest row once row i holds counts[i] more positions.

        Raises:
            ContextWindowError: it exceeds the capacity.
        """
        longest = max((n + more for n, more in zip(self.lengths, counts, strict=True)), default=0)
        check_room(longest, self.capacity)
        return longest

    def last(self, start: Tensor) -> Tensor:
        """The state of each row [B, P, H] after all it holds; of `start` where it holds nothing."""
        if self.kept is None:
            return start
        ends = torch.tensor([row[-1] if row else -1 for row in self.places], device=start.device)
        return torch.where((ends < 0)[:, None, None], start, self.kept[ends])

    def append(self, states: Tensor, counts: Sequence[int]) -> None:
        """Keep the states [B, T, P, H] after the first counts[i] new tokens of each row."""
        new = torch.cat([row[:n] for row, n in zip(states, counts, strict=True)])
        self.make_room(new)[self.used : self.used + len(new)] = new
        for row, n in zip(self.places, counts, strict=True):
            row.extend(range(self.used, self.used + n))
            self.used += n

    def make_room(self, new: Tensor) -> Tensor:
        """The store, with room for as many states more; it doubles where it must grow."""
        if self.kept is None:
            self.kept = new.new_empty(max(len(new), len(self.places)), *new.shape[1:])
        if self.used + len(new) > len(self.kept):
            grown = new.new_empty(max(2 * len(self.kept), self.used + len(new)), *new.shape[1:])
            grown[: self.used] = self.kept[: self.used]
            self.kept = grown
        return self.kept

    def truncate(self, lengths: Sequence[int]) -> None:
        """Rewind row i to its first lengths[i] positions.

        Raises:
            OptionError: a length below 0.
        """
        if min(lengths, default=0) < 0:
            raise OptionError(f"a row cannot be rewound to {min(lengths)} tokens; give 0 or more")
        self.places = [row[:n] for row, n in zip(self.places, lengths, strict=True)]

    def select(self, rows: Sequence[int]) -> None:
        """Row i continues from old row rows[i]."""
        self.places = [list(self.places[row]) for row in rows]
