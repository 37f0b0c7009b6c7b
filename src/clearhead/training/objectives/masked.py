"""Masked language modelling: say what stood where a text was hidden (Devlin et al. 2018, section 3.1).

Of the chosen tokens 80 % are hidden, 10 % exchanged for others and 10 % left, so that a model may trust none of what it
reads. They are chosen anew for every window and epoch (Liu et al. 2019, 1907.11692, section 4.1).

B rows, T ids of a row.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from clearhead.training.data.batches import Integers, by_rows, generator
from clearhead.training.objectives.batch import Batch, places

Ids = NDArray[np.int32]
HIDDEN, EXCHANGED = 0.8, 0.9  # up to here hidden, up to there exchanged
VALID = 2**31  # the epoch that held-out windows are masked by


@dataclass(frozen=True, kw_only=True, slots=True)
class Masked:
    """One long text in windows of `context` ids, the frame of two special tokens included."""

    train: Ids
    valid: Ids
    context: int
    rows: int
    share: float  # of tokens chosen
    first: int  # [CLS]
    last: int  # [SEP]
    mask: int
    ordinary: Ids  # ids that may stand in for others
    seed: int

    def plan(self, epoch: int) -> list[Integers]:
        """Where the windows of each batch begin."""
        inside = self.context - 2
        shift = int(generator(self.seed, epoch, 1).integers(inside))
        count = (len(self.train) - shift) // inside
        return [shift + inside * rows for rows in by_rows(count, self.rows, seed=self.seed, epoch=epoch)]

    def batch(self, rows: Integers, epoch: int) -> Batch:
        """The windows that begin there."""
        return self.make(self.train, rows, generator(self.seed, epoch, 2, int(rows[0])))

    def held_out(self) -> list[Batch]:
        """The whole of the other text, always masked alike."""
        starts = np.arange(0, len(self.valid) - (self.context - 2) + 1, self.context - 2)
        some = (starts[i : i + self.rows] for i in range(0, len(starts), self.rows))
        return [self.make(self.valid, rows, generator(0, VALID, int(rows[0]))) for rows in some]

    def make(self, text: Ids, starts: Integers, rng: np.random.Generator) -> Batch:
        """Windows framed and masked."""
        inside = text[starts[:, None] + np.arange(self.context - 2)].astype(np.int64)
        chosen = rng.random(inside.shape) < self.share
        chosen[0, 0] |= not chosen.any()
        how = rng.random(inside.shape)
        read = np.where(chosen & (how < HIDDEN), self.mask, inside)
        others = rng.choice(self.ordinary, size=inside.shape)
        read = np.where(chosen & (how >= HIDDEN) & (how < EXCHANGED), others, read)
        frame = np.pad(read, ((0, 0), (1, 1)))
        frame[:, 0], frame[:, -1] = self.first, self.last
        return Batch(
            ids=torch.from_numpy(frame),
            lengths=[self.context] * len(starts),
            places=places(torch.from_numpy(np.pad(chosen, ((0, 0), (1, 1))))),
            labels=torch.from_numpy(inside[chosen]),
        )
