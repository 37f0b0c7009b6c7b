"""Batches without end, from a place that two numbers tell: an epoch, and how many of its batches were taken.

A plan is made anew from seed and epoch, so that a run that was interrupted in the middle of an epoch goes on with the
batch it would have had, on as many processes as it likes: batch i of the plan is the i-th of the whole run's, and an
update takes as many batches on a thousand ranks as on one. Ranks take turns at whole batches as far as they go round
evenly, and share the rows of each where they do not.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import gcd

import numpy as np
from numpy.typing import NDArray

from clearhead.errors import OptionError

Integers = NDArray[np.int64]
Plan = Callable[[int], list[Integers]]  # epoch -> rows of each batch


@dataclass(slots=True)
class Place:
    """Where in the data a run is."""

    epoch: int = 0
    batch: int = 0  # of the epoch, the next to be taken


@dataclass(frozen=True, slots=True)
class Share:
    """What one rank takes of a batch: every `ranks`-th of its rows, from the `first` on."""

    epoch: int
    rows: Integers  # of the whole batch
    first: int = 0
    ranks: int = 1


class Loader:
    """Rows of one batch after the other, the same on every rank."""

    def __init__(self, plan: Plan, place: Place | None = None, *, rank: int = 0, world: int = 1) -> None:
        self.plan, self.place = plan, place or Place()
        self.rank, self.world = rank, world
        self.epoch, self.batches = -1, list[Integers]()

    def __iter__(self) -> Iterator[tuple[int, Integers]]:
        return self

    def __next__(self) -> tuple[int, Integers]:
        """The epoch, and the rows of its next batch."""
        if self.epoch != self.place.epoch:
            self.open(self.place.epoch)
        if self.place.batch >= len(self.batches):
            self.place.epoch, self.place.batch = self.place.epoch + 1, 0
            self.open(self.place.epoch)
        rows = self.batches[self.place.batch]
        self.place.batch += 1
        return self.place.epoch, rows

    def update(self, batches: int) -> list[Share]:
        """This rank's shares of an update's batches; all ranks have as many.

        Ranks form as many groups as divide both them and the batches; a group takes whole batches in turn.
        """
        groups = gcd(batches, self.world)
        ranks = self.world // groups
        group, first = divmod(self.rank, ranks)
        taken = [next(self) for _ in range(batches)]
        return [Share(epoch, rows, first, ranks) for epoch, rows in taken[group::groups]]

    def open(self, epoch: int) -> None:
        """Make an epoch's plan."""
        self.epoch, self.batches = epoch, self.plan(epoch)
        if not self.batches:
            raise OptionError("the training data holds no whole batch; give more data, or ask for smaller batches")
