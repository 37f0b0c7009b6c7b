"""What one step learns from, whatever the objective: rows, where they are scored, and against what.

Objectives differ in how they make a batch; what a model computes of it and what is minimised is the same for all.

B rows, S ids of a row, T ids of a target's row, N places that are scored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Integers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Rows padded on the right."""

    ids: Tensor  # [B, S]
    lengths: list[int]  # of the rows of ids
    target: Tensor | None = None  # [B, T]: what a decoder beside an encoder reads
    scored: Tensor  # [B, S], or [B, T] where there is a target: whether a place counts
    labels: Tensor  # [N]: what should be there, in the order of rows

    @property
    def read(self) -> int:
        """Tokens that the model reads, padding left out."""
        return sum(self.lengths) + (0 if self.target is None else len(self.labels))

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        if device.type == "cpu":
            return self
        target = None if self.target is None else self.target.to(device, non_blocking=True)
        ids, scored, labels = (t.to(device, non_blocking=True) for t in (self.ids, self.scored, self.labels))
        return Batch(ids=ids, lengths=self.lengths, target=target, scored=scored, labels=labels)

    def twice(self) -> "Batch":
        """Every row a second time, after all of them: for two passes under different dropout."""
        target = None if self.target is None else self.target.repeat(2, 1)
        return Batch(
            ids=self.ids.repeat(2, 1),
            lengths=self.lengths * 2,
            target=target,
            scored=self.scored.repeat(2, 1),
            labels=self.labels.repeat(2),
        )

    def part(self, first: int, ranks: int) -> "Batch":
        """Every `ranks`-th row from the `first` on, at the batch's width. Where there is none: a row that is scored
        nowhere, for whoever has nothing to learn from still takes part."""
        if ranks == 1:
            return self
        which = slice(first, None, ranks) if first < len(self.ids) else slice(1)
        placed = torch.zeros_like(self.scored, dtype=self.labels.dtype).masked_scatter(self.scored, self.labels)
        scored = self.scored[which] if first < len(self.ids) else torch.zeros_like(self.scored[which])
        return Batch(
            ids=self.ids[which],
            lengths=self.lengths[which],
            target=None if self.target is None else self.target[which],
            scored=scored,
            labels=placed[which][scored],
        )


def dealt(batches: Sequence[Batch], rank: int, world: int) -> list[Batch]:
    """One rank's share of batches, as many for each; where they do not go round, a row that is scored nowhere."""
    missing = -len(batches) % world
    nothing = [batches[0].part(len(batches[0].ids), 2)] * missing if missing else []
    return [*batches, *nothing][rank::world]


class Objective(Protocol):
    """A task, as batches: training ones are drawn by seed and epoch, those to evaluate on are always the same."""

    def plan(self, epoch: int) -> list[Integers]:
        """Rows of each batch of an epoch of the training data."""

    def batch(self, rows: Integers, epoch: int) -> Batch:
        """These rows of the training data."""

    def held_out(self) -> list[Batch]:
        """The data to evaluate on, in batches."""


def padded(rows: Sequence[NDArray[np.integer]], fill: int) -> Tensor:
    """Rows of ids as one tensor [B, longest], filled on the right."""
    ids = np.full((len(rows), max(map(len, rows))), fill, dtype=np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
    return torch.from_numpy(ids)


def real(lengths: Sequence[int], width: int) -> Tensor:
    """[B, width]: which places are no padding."""
    return torch.arange(width)[None] < torch.tensor(lengths)[:, None]
