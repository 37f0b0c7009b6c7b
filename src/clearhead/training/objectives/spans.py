"""Span corruption: read a text with gaps, say what stood in them (Raffel et al. 2019, section 3.1.4).

`Thank you <X> me to your party <Y> week .` is read, and `<X> for inviting <Y> last <Z>` said; <X>, <Y> and so on are
the vocabulary's blanks, in order.

B rows, T ids of a window.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearhead.training.data.batches import Integers, by_rows, generator
from clearhead.training.data.store import Ragged
from clearhead.training.objectives.batch import Batch
from clearhead.training.objectives.translation import pairs

Ids = NDArray[np.int32]
VALID = 2**31  # the epoch that held-out windows are corrupted by


@dataclass(frozen=True, kw_only=True, slots=True)
class Spans:
    """One long text in windows of `context` ids."""

    train: Ids
    valid: Ids
    context: int
    rows: int
    share: float  # of tokens hidden
    length: float  # of what is hidden at once, on average
    blanks: Ids  # <extra_id_0>, <extra_id_1>, ...
    end: int
    start: int
    pad: int
    seed: int

    def plan(self, epoch: int) -> list[Integers]:
        """Where the windows of each batch begin."""
        shift = int(generator(self.seed, epoch, 1).integers(self.context))
        count = (len(self.train) - shift) // self.context
        return [shift + self.context * rows for rows in by_rows(count, self.rows, seed=self.seed, epoch=epoch)]

    def batch(self, rows: Integers, epoch: int) -> Batch:
        """The windows that begin there."""
        return self.make(self.train, rows, generator(self.seed, epoch, 2, int(rows[0])))

    def held_out(self) -> list[Batch]:
        """The whole of the other text, always with the same gaps."""
        starts = np.arange(0, len(self.valid) - self.context + 1, self.context)
        some = (starts[i : i + self.rows] for i in range(0, len(starts), self.rows))
        return [self.make(self.valid, rows, generator(0, VALID, int(rows[0]))) for rows in some]

    def make(self, text: Ids, starts: Integers, rng: np.random.Generator) -> Batch:
        """Windows with gaps, and what stood there."""
        made = [self.corrupt(text[at : at + self.context], rng) for at in starts.tolist()]
        sources, targets = (Ragged.of(side) for side in zip(*made, strict=True))
        rows = np.arange(len(made))
        return pairs({"source": sources, "target": targets}, rows, start=self.start, pad=self.pad)

    def corrupt(self, window: Ids, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        """What is read and what is said of one window; kept and hidden stretches take turns, a kept one first."""
        hidden = min(max(round(len(window) * self.share), 1), len(window) - 1)
        gaps = min(max(round(hidden / self.length), 1), hidden, len(window) - hidden, len(self.blanks) - 1)
        kept, gone = parts(len(window) - hidden, gaps, rng), parts(hidden, gaps, rng)
        read, said, at = [], [], 0
        for blank, keep, hide in zip(self.blanks.tolist(), kept, gone, strict=False):
            read += [*window[at : at + keep].tolist(), blank]
            said += [blank, *window[at + keep : at + keep + hide].tolist()]
            at += keep + hide
        return [*read, self.end], [*said, int(self.blanks[gaps]), self.end]


def parts(total: int, count: int, rng: np.random.Generator) -> list[int]:
    """A number as a sum of `count` positive ones, each such sum equally likely."""
    cuts = np.sort(rng.choice(total - 1, size=count - 1, replace=False)) + 1 if count > 1 else np.zeros(0, dtype=int)
    return np.diff([0, *cuts, total]).tolist()
