"""How far a figure may be trusted: the bootstrap (Efron 1979, Annals of Statistics 7:1), by percentiles.

A test set is a sample. It is drawn again from itself, with replacement, many times; the figure of each draw is
computed; the interval holds the middle `confidence` of them. For a corpus score, such as BLEU, sentences are drawn and
the score is computed anew from their counts (Koehn 2004, W04-3250). Draws depend on nothing but the number of rows and
the seed, so that two systems over the same rows get the same draws, and their difference is paired.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from clearhead.errors import OptionError

Rows = NDArray[np.int64]  # [R] which rows a draw holds, some of them several times
CONFIDENCE, SAMPLES = 0.95, 1000


def interval(
    values: Sequence[float], *, confidence: float = CONFIDENCE, samples: int = SAMPLES, seed: int = 0
) -> tuple[float, float]:
    """The interval around the mean of `values`, one value an item; both ends are the value itself where it is alone.

    Raises:
        OptionError: no value, or an impossible confidence or number of samples.
    """
    array = np.asarray(values, np.float64)
    return interval_of(
        lambda rows: float(array[rows].mean()), len(array), confidence=confidence, samples=samples, seed=seed
    )


def interval_of(
    statistic: Callable[[Rows], float],
    rows: int,
    *,
    confidence: float = CONFIDENCE,
    samples: int = SAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """The interval of any figure of a test set of so many rows: `statistic` computes it for the rows of one draw.

    Raises:
        OptionError: no row, or an impossible confidence or number of samples.
    """
    if not 0 < confidence < 1:
        raise OptionError(f"confidence is {confidence}; give a share between 0 and 1, such as 0.95")
    found = [statistic(drawn) for drawn in draws(rows, samples=samples, seed=seed)]
    outside = (1 - confidence) / 2
    low, high = np.quantile(found, [outside, 1 - outside])
    return float(low), float(high)


def difference(
    one: Sequence[float],
    other: Sequence[float],
    *,
    confidence: float = CONFIDENCE,
    samples: int = SAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """The interval around mean(one) - mean(other), two systems' values of the same items; without 0 in it, they differ.

    Raises:
        OptionError: as `interval`; also two numbers of values.
    """
    if len(one) != len(other):
        raise OptionError(f"{len(one)} values are compared with {len(other)}; give those of the same items")
    gaps = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    return interval(gaps.tolist(), confidence=confidence, samples=samples, seed=seed)


def draws(rows: int, *, samples: int = SAMPLES, seed: int = 0) -> Iterator[Rows]:
    """The draws themselves, each [rows].

    Raises:
        OptionError: no row, or no sample.
    """
    if rows < 1 or samples < 1:
        raise OptionError(f"{samples} samples of {rows} rows are asked for; an interval needs at least one of each")
    generator = np.random.default_rng(seed)
    for _ in range(samples):
        yield generator.integers(0, rows, rows)
