"""When each of several runs was first as good as the one that came least far: what a result costs, in time and tokens.

The figures are losses and scores on held-out data, which must be the same for all of the runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from clearhead.training.runs.curves import LOSS, Curve


@dataclass(frozen=True, slots=True)
class Milestone:
    """A figure that all of some runs reached, and where one of them first did."""

    value: float
    step: int
    tokens: int
    seconds: float  # of steps


def milestones(curves: Sequence[Curve]) -> list[dict[str, Milestone]]:
    """For each curve, by the name of a loss or score, where it first reached the best figure of the run whose best is
    the worst. A single run has none, nor has what some of the runs did not measure."""
    found: list[dict[str, Milestone]] = [{} for _ in curves]
    if len(curves) < 2 or not all(curve.dev for curve in curves):
        return found
    for name in (LOSS, *(n for n in curves[0].scores if all(n in curve.scores for curve in curves))):
        sign = -1 if name == LOSS else 1  # a loss is better the lower it is
        goal = min(max(sign * value for _, value in curve.course(name)) for curve in curves)
        for marks, curve in zip(found, curves, strict=True):
            point = next(point for point, value in curve.course(name) if sign * value >= goal)
            marks[name] = Milestone(sign * goal, point.step, point.tokens, point.seconds)
    return found
