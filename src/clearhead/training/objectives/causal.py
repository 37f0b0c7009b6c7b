"""Causal language modelling: say each token from those before it (Radford et al. 2018; Bengio et al. 2003).

B rows, T ids of a row.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from clearhead.training.data.batches import Integers, by_rows, generator
from clearhead.training.objectives.batch import Batch

Ids = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Causal:
    """One long text, cut into windows of `context` tokens. Where the windows begin changes from epoch to epoch."""

    train: Ids
    valid: Ids
    context: int
    rows: int  # windows of a batch
    seed: int

    def plan(self, epoch: int) -> list[Integers]:
        """Where the windows of each batch begin."""
        shift = int(generator(self.seed, epoch, 1).integers(self.context))
        count = (len(self.train) - 1 - shift) // self.context
        return [shift + self.context * rows for rows in by_rows(count, self.rows, seed=self.seed, epoch=epoch)]

    def batch(self, rows: Integers, epoch: int) -> Batch:
        """The windows that begin there."""
        return windows(self.train, rows, self.context)

    def held_out(self) -> list[Batch]:
        """The whole of the other text, window after window; the rest of it that fills none is left out."""
        starts = np.arange(0, len(self.valid) - self.context, self.context)
        return [windows(self.valid, starts[i : i + self.rows], self.context) for i in range(0, len(starts), self.rows)]


def windows(text: Ids, starts: Integers, context: int) -> Batch:
    """[B, T] from each start, and what follows each token."""
    places = starts[:, None] + np.arange(context + 1)
    ids = torch.from_numpy(text[places].astype(np.int64))  # [B, T + 1]
    return Batch(
        ids=ids[:, :-1].contiguous(),
        lengths=[context] * len(starts),
        places=torch.arange(len(starts) * context),
        labels=ids[:, 1:].flatten(),
    )
