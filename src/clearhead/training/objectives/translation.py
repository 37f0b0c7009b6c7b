"""Sequence to sequence: read one text, say the other (Sutskever et al. 2014, 1409.3215; Vaswani et al. 2017).

B rows, S source ids, T target ids.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from clearhead.training.data.batches import Integers, by_tokens
from clearhead.training.data.store import Examples, Ragged
from clearhead.training.objectives.batch import Batch, padded, places, real


@dataclass(frozen=True, kw_only=True, slots=True)
class Translation:
    """Rows with "source", framed as the encoder reads it, and "target", which ends in the id that ends a text.

    `of_epoch` gives an epoch's training rows where these differ from epoch to epoch: cut into other pieces, joined.
    """

    train: Examples
    valid: Examples
    start: int  # what the decoder begins with
    pad: int
    max_tokens: int  # of a batch, on either side
    seed: int
    of_epoch: Callable[[int], Examples] | None = None

    def examples(self, epoch: int) -> Examples:
        """The training rows of an epoch."""
        return self.train if self.of_epoch is None else self.of_epoch(epoch)

    def plan(self, epoch: int) -> list[Integers]:
        """Sentences of about one length together."""
        return by_tokens(lengths(self.examples(epoch)), self.max_tokens, seed=self.seed, epoch=epoch)

    def batch(self, rows: Integers, epoch: int) -> Batch:
        """These sentences."""
        return pairs(self.examples(epoch), rows, start=self.start, pad=self.pad)

    def held_out(self) -> list[Batch]:
        """All of the others."""
        plan = by_tokens(lengths(self.valid), self.max_tokens, seed=0, epoch=0)
        return [pairs(self.valid, rows, start=self.start, pad=self.pad) for rows in plan]


def pairs(examples: Examples, rows: Integers, *, start: int, pad: int) -> Batch:
    """These rows as a batch: the decoder reads the target one place to the right of where it is to say it."""
    source, said = picked(examples["source"], rows), picked(examples["target"], rows)
    labels = padded(said, pad)  # [B, T]
    target = torch.cat([labels.new_full((len(said), 1), start), labels[:, :-1]], dim=1)
    scored = real([len(row) for row in said], labels.shape[1])
    return Batch(
        ids=padded(source, pad),
        lengths=[len(row) for row in source],
        target=target,
        places=places(scored),
        labels=labels[scored],
    )


def picked(rows: Ragged, which: Integers) -> list[np.ndarray]:
    """Some of the rows."""
    return [rows[i] for i in which.tolist()]


def lengths(examples: Examples) -> Integers:
    """[N, 2]: of source and target."""
    return np.stack([examples["source"].lengths, examples["target"].lengths], axis=1)
