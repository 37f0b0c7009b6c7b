"""How the learning rate changes: a factor of its peak for each step, from 0 on."""

import math
from bisect import bisect
from collections.abc import Callable, Sequence

Schedule = Callable[[int], float]


def inverse_square_root(warmup: int) -> Schedule:
    """Linear up, then by the inverse square root of the step (Vaswani et al. 2017, equation 3, its peak put to 1)."""
    warmup = max(warmup, 1)
    return lambda step: min((step + 1) / warmup, math.sqrt(warmup / (step + 1)))


def cosine(warmup: int, steps: int, floor: float, restarts: Sequence[int] = (), again: float = 1.0) -> Schedule:
    """Linear up, then half a cosine down, which would come to `floor` at step `steps`; at each of the steps `restarts`
    the same begins once more, up to `again` of the peak (Loshchilov and Hutter 2016, 1608.03983)."""
    begins, ends = (0, *restarts), (*restarts, steps)

    def factor(step: int) -> float:
        cycle = bisect(begins, step) - 1
        done, whole = step - begins[cycle], ends[cycle] - begins[cycle]
        peak = again if cycle else 1.0
        if done < warmup:
            return peak * (done + 1) / (warmup + 1)
        share = min((done - warmup) / max(whole - warmup, 1), 1.0)
        return peak * (floor + (1 - floor) * (1 + math.cos(math.pi * share)) / 2)

    return factor


def warmup_stable_decay(warmup: int, steps: int, decay: int, floor: float) -> Schedule:
    """Linear up, level, and over the last `decay` steps down to `floor` with 1 - sqrt (Hu et al. 2024, 2404.06395;
    Haegele et al. 2024, 2405.18392, for the shape)."""

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        share = max(step - (steps - decay), 0) / max(decay, 1)
        return max(floor, 1 - math.sqrt(min(share, 1.0)) * (1 - floor))

    return factor


def constant(warmup: int) -> Schedule:
    """Linear up, then level."""
    return lambda step: min((step + 1) / (warmup + 1), 1.0)
