"""Which rows make up which batch: pure functions of lengths, a seed and an epoch, so that a place in it is two numbers.

N rows, F fields of a row.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from clearhead.errors import OptionError

Integers = NDArray[np.int64]


def generator(*seeds: int) -> np.random.Generator:
    """Random numbers that depend on these numbers alone."""
    return np.random.default_rng(list(seeds))


def by_tokens(lengths: Integers, max_tokens: int, *, seed: int, epoch: int, most_rows: int = 4096) -> list[Integers]:
    """All rows of lengths [N, F], those of about one length together, in batches of at most `max_tokens` padded tokens
    of either field, in a random order (Vaswani et al. 2017, section 5.1).

    Raises:
        OptionError: a row that alone is longer.
    """
    longest = int(lengths.max(initial=0))
    if longest > max_tokens:
        raise OptionError(f"a row has {longest} tokens and max_tokens is {max_tokens}; raise it, or drop long rows")
    rng = generator(seed, epoch)
    order = rng.permutation(len(lengths))
    order = order[np.lexsort(lengths[order].T)]  # by the last field, then by those before; the rest by chance
    batches = list(cut(lengths[order], max_tokens, most_rows))
    return [order[first:last] for first, last in (batches[i] for i in rng.permutation(len(batches)))]


def cut(lengths: Integers, max_tokens: int, most_rows: int) -> Iterator[tuple[int, int]]:
    """Runs (first, last + 1) of rows that are as many as fit."""
    first, widths = 0, np.zeros(lengths.shape[1], dtype=np.int64)
    for row, length in enumerate(lengths):
        wider = np.maximum(widths, length)
        if row > first and (wider.max() * (row + 1 - first) > max_tokens or row - first == most_rows):
            yield first, row
            first, wider = row, length
        widths = wider
    if first < len(lengths):
        yield first, len(lengths)


def by_rows(n: int, rows: int, *, seed: int, epoch: int) -> list[Integers]:
    """All N rows in a random order, `rows` at a time; what is left over at the end waits for another epoch."""
    order = generator(seed, epoch).permutation(n)
    return [order[i : i + rows] for i in range(0, n - rows + 1, rows)]
