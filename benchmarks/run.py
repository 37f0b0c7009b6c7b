"""A contest held: entries take turns, round by round; medians, extremes, and ratios of the same round."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.contest import Contest, Facts, Peaks
from benchmarks.process import EngineError

Say = Callable[[str], None]


@dataclass(kw_only=True)
class Result:
    """One row of a table."""

    label: str
    facts: Facts
    values: list[float] = field(default_factory=list)
    ratio: float | None = None  # how many times better the first entry is; the median over rounds
    answer: list[float] | None = None
    likeness: str = ""  # of its answer to the first entry's
    shares: dict[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """Of all rounds."""
        return statistics.median(self.values)


def hold(
    contest: Contest, workers: Sequence[Any], rounds: int, measured: Callable[[], Peaks], say: Say
) -> list[Result]:
    """Warm up, then ask everyone once a round, another one first each time. Who fails is left out, with a line."""
    results = {worker: Result(label=worker.label, facts=worker.facts) for worker in workers}
    for turn in range(rounds + 1):
        order = list(results)
        for worker in order[turn % len(order) :] + order[: turn % len(order)]:
            try:
                if turn == 0 and contest.same is not None:
                    results[worker].answer = worker.ask(contest.same)
                value = worker.ask(question(contest, worker.label, warming=turn == 0))
            except EngineError as error:
                say(str(error))
                del results[worker]
                continue
            if turn:
                results[worker].values.append(value)
        if not results:
            return []
    rows, peaks = list(results.values()), measured()
    compare(contest, rows)
    for cost in contest.costs:
        for row in rows:
            if (share := cost.share(row.median, row.facts, peaks)) is not None:
                row.shares[cost.limit] = share
    return rows


def question(contest: Contest, label: str, *, warming: bool) -> dict[str, Any]:
    """What this entry is asked."""
    if warming and contest.warm is not None:
        return contest.warm
    (entry,) = (entry for entry in contest.entries if entry.label == label)
    return contest.ask | entry.asked


def compare(contest: Contest, rows: list[Result]) -> None:
    """Ratios of values from the same round, so that what slows a whole round down slows neither side of a ratio."""
    if not rows or rows[0].label != contest.entries[0].label:
        return
    for row in rows[1:]:
        pairs = zip(rows[0].values, row.values, strict=True)
        ratios = [b / a if contest.smaller_is_better else a / b for a, b in pairs]
        row.ratio = statistics.median(ratios)
        if rows[0].answer is not None and row.answer is not None:
            row.likeness = likeness(rows[0].answer, row.answer)


def likeness(ours: list[float], theirs: list[float]) -> str:
    """Of tokens, how many agree before the first that does not; of states, their cosine."""
    if all(isinstance(value, int) for value in ours):
        same = next((i for i, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), len(ours))
        return f"the first {same} of {len(ours)} tokens are ours"
    product = sum(a * b for a, b in zip(ours, theirs, strict=True))
    return f"cosine with ours {product / (math.hypot(*ours) * math.hypot(*theirs)):.4f}"
