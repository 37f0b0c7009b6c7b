"""Short rows joined into longer ones, others in each epoch.

A Transformer that has read only short texts stops early in long ones: nothing it learnt from had that many positions.
Several sentences one after the other are a longer text whose translation is known (Kondo et al. 2021, 2104.08478).

N rows, M ids of all rows together.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from clearhead.training.data.batches import Integers, generator
from clearhead.training.data.store import Examples, Ragged

Flags = NDArray[np.bool_]
Ends = tuple[int | None, int | None]
JOINING = 4  # tells these draws from others of the same seed and epoch


class Joined:
    """An epoch's rows, each gone on with by another at random with the chance of `share`: a function of seed and epoch.

    Every row is still there once, alone or in a longer one, of at most `most` ids on either side. `ends` are the ids
    that begin and end the rows of each side, where any do: within a longer row none stands. The newest epoch is kept.
    """

    def __init__(
        self, rows: Callable[[int], Examples], *, share: float, most: int, seed: int, ends: Mapping[str, Ends]
    ) -> None:
        self.rows, self.share, self.most, self.seed, self.ends = rows, share, most, seed, ends
        self.newest = -1
        self.made: Examples | None = None

    def __call__(self, epoch: int) -> Examples:
        """The rows of an epoch."""
        if self.made is None or epoch != self.newest:
            self.newest, self.made = epoch, self.joined(self.rows(epoch), epoch)
        return self.made

    def joined(self, rows: Examples, epoch: int) -> Examples:
        """These rows in a random order, some of them in one."""
        rng = generator(self.seed, epoch, JOINING)
        count = len(next(iter(rows.values())))
        order = rng.permutation(count)
        lengths = np.stack([side.lengths for side in rows.values()], axis=1)[order]
        goes_on = bounded(rng.random(count) < self.share, lengths, self.most)
        return {name: join(side, order, goes_on, self.ends[name]) for name, side in rows.items()}


def bounded(goes_on: Flags, lengths: Integers, most: int) -> Flags:
    """Which rows [N] go on from the one before them, given which would like to, so that none of the sums of `lengths`
    [N, sides] is above `most`."""
    found, sums = [], [most] * lengths.shape[1]  # full: the first has none before it
    for wants, row in zip(goes_on.tolist(), lengths.tolist(), strict=True):
        more = [a + b for a, b in zip(sums, row, strict=True)]
        found.append(wants and max(more) <= most)
        sums = more if found[-1] else row
    return np.array(found, dtype=bool)


def join(side: Ragged, order: Integers, goes_on: Flags, ends: Ends) -> Ragged:
    """Rows in an order, each that goes on behind the one before it."""
    first, last = ends
    headless = goes_on & (first is not None)
    endless = np.append(goes_on[1:], False) & (last is not None)
    starts = side.starts[:-1][order] + headless
    lengths = side.lengths[order] - headless - endless
    before = np.cumsum(lengths) - lengths
    flat = side.flat[np.repeat(starts - before, lengths) + np.arange(lengths.sum())]
    return Ragged(flat, np.append(before[~goes_on], len(flat)))
