"""What an evaluation gives back: figures with their intervals, every item, and all that decided them.

Each task of `clearhead evaluate` is one function that ends in an `Evaluation`; tables, files and failures to read are
made from it alone, for every task alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clearhead.tasks.evaluate.metrics.bootstrap import interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One number over all items."""

    name: str  # "bleu", "rouge1", "ndcg@10"
    value: float
    low: float | None = None  # the interval of 95 %, where there is one
    high: float | None = None
    unit: str = ""  # "%" for shares of 100; empty for a score of its own scale
    how: str = ""  # all that two such figures must share to be compared: a signature


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFile:
    """Which file of examples it was: its name alone, for a path says where it lay and not what it is."""

    name: str
    sha256: str
    rows: int  # that it holds, whether all were used or not


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One row of the data, and what became of it."""

    input: str
    expected: str
    got: str
    scores: Mapping[str, float]  # of this item; more is better, so that the least are the failures to read
    note: str = ""  # why it failed, where that is known


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """A finished evaluation."""

    task: str
    model: str
    figures: Sequence[Figure]
    items: Sequence[Item]
    executor: str = ""  # what computed it, and in which numbers; empty where no model did
    dtype: str = ""
    files: Sequence[DataFile] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)  # what else decided the figures: options, prompts, limits
    counted: str = "item"  # what an item is: a sentence, a question
    there: int | None = None  # items that the data has, whether all were used or not; None: as many as were used
    by: str = ""  # the score that ranks failures; the first of an item's unless given

    def failures(self, count: int) -> list[Item]:
        """The worst items, the worst first; of equals, the earlier one."""
        ranked = [item for item in self.items if item.scores]
        return sorted(ranked, key=self.rank)[: max(0, count)]

    def rank(self, item: Item) -> float:
        """What an item is ranked by."""
        return item.scores[self.by] if self.by else next(iter(item.scores.values()))


def mean_figure(
    name: str, values: Sequence[float], *, unit: str = "", how: str = "", scale: float = 1.0, seed: int = 0
) -> Figure:
    """A mean over items with its interval; `scale` 100 makes a percentage of values between 0 and 1.

    Raises:
        OptionError: no value.
    """
    low, high = interval(values, seed=seed)
    value = sum(values) / len(values)
    return Figure(name=name, value=scale * value, low=scale * low, high=scale * high, unit=unit, how=how)
