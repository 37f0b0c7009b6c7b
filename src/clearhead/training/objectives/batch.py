"""What one step learns from, whatever the objective: rows, where they are scored, and against what.

Objectives differ in how they make a batch; what a model computes of it and what is minimised is the same for all.

B rows, S ids of a row, T ids of a target's row, W the width of what is scored: T where there is a target, else S; N
places that are scored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Integers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Rows padded on the right."""

    ids: Tensor  # [B, S]
    lengths: list[int]  # of the rows of ids
    target: Tensor | None = None  # [B, T]: what a decoder beside an encoder reads
    places: Tensor  # [N]: which of B * W places count, row after row
    labels: Tensor  # [N]: what should be there

    @property
    def width(self) -> int:
        """W."""
        return (self.ids if self.target is None else self.target).shape[1]

    @property
    def full(self) -> bool:
        """Whether no row of ids has padding."""
        return min(self.lengths) == self.ids.shape[1]

    @property
    def read(self) -> int:
        """Tokens that the model reads, padding left out."""
        return sum(self.lengths) + (0 if self.target is None else len(self.labels))

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        if device.type == "cpu":
            return self
        target = None if self.target is None else self.target.to(device, non_blocking=True)
        ids, places, labels = (t.to(device, non_blocking=True) for t in (self.ids, self.places, self.labels))
        return Batch(ids=ids, lengths=self.lengths, target=target, places=places, labels=labels)

    def twice(self) -> "Batch":
        """Every row a second time, after all of them: for two passes under different dropout."""
        target = None if self.target is None else self.target.repeat(2, 1)
        return Batch(
            ids=self.ids.repeat(2, 1),
            lengths=self.lengths * 2,
            target=target,
            places=torch.cat([self.places, self.places + len(self.ids) * self.width]),
            labels=self.labels.repeat(2),
        )

    def part(self, first: int, ranks: int) -> "Batch":
        """Every `ranks`-th row from the `first` on, at the batch's width. Where there is none: a row that is scored
        nowhere, for whoever has nothing to learn from still takes part."""
        if ranks == 1:
            return self
        which = slice(first, None, ranks) if first < len(self.ids) else slice(1)
        rows, columns = self.places // self.width, self.places % self.width
        own = (rows >= first) & (rows % ranks == first % ranks)
        return Batch(
            ids=self.ids[which],
            lengths=self.lengths[which],
            target=None if self.target is None else self.target[which],
            places=((rows - first) // ranks * self.width + columns)[own],
            labels=self.labels[own],
        )

    def roomier(self, rows: int, tokens: int) -> "Batch":
        """The same with more padding, to multiples of so many rows and tokens, so that few shapes come up. A row more
        has one token, for every query needs a key, and is scored nowhere."""
        height = rounded(len(self.ids), rows)
        target = None if self.target is None else grown(self.target, height, rounded(self.target.shape[1], tokens))
        width = rounded(self.width, tokens)
        return Batch(
            ids=grown(self.ids, height, rounded(self.ids.shape[1], tokens)),
            lengths=[*self.lengths, *[1] * (height - len(self.ids))],
            target=target,
            places=self.places // self.width * width + self.places % self.width,
            labels=self.labels,
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


def rounded(n: int, multiple: int) -> int:
    """The next multiple that is not below n."""
    return -(-n // multiple) * multiple


def grown(ids: Tensor, rows: int, width: int) -> Tensor:
    """[B, S] -> [rows, width], zeros at what is new."""
    return functional.pad(ids, (0, width - ids.shape[1], 0, rows - len(ids)))


def places(scored: Tensor) -> Tensor:
    """Which of B * W places count [N], from whether each does [B, W]."""
    return scored.flatten().nonzero()[:, 0]


def real(lengths: Sequence[int], width: int) -> Tensor:
    """[B, width]: which places are no padding."""
    return torch.arange(width)[None] < torch.tensor(lengths)[:, None]
