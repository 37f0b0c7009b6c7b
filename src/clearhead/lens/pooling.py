"""Large attention matrices made small enough to look at, with no peak lost: each cell is the largest weight in it.

A mean would hide what one looks for, the single token that a query attends to. T queries, S keys.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

CELLS = 128  # along each side of an overview


def pool_max(weights: NDArray[Any], cells: int = CELLS) -> tuple[NDArray[Any], tuple[int, int]]:
    """At most `cells` x `cells` maxima of weights [T, S], and how many queries and keys a cell stands for.

    Cell [i, j] is the largest of `weights[i * q : (i + 1) * q, j * k : (j + 1) * k]`; the last of a side may hold
    fewer. Up to `cells` queries and keys, every cell is one weight.
    """
    q, k = (max(1, -(-n // cells)) for n in weights.shape)
    # Queries first: that pass reads whole rows, as they lie in memory, and leaves little for the other.
    return maxima(maxima(weights, q).T, k).T, (q, k)


def maxima(rows: NDArray[Any], n: int) -> NDArray[Any]:
    """[ceil(R / n), C] the largest of every `n` rows of [R, C], column by column."""
    if n == 1:
        return rows
    whole = len(rows) // n
    blocks = rows[: whole * n].reshape(whole, n, rows.shape[1]).max(axis=1)
    rest = rows[whole * n :]
    return np.concatenate([blocks, rest.max(axis=0, keepdims=True)]) if len(rest) else blocks


def peaks(weights: NDArray[Any], count: int) -> list[tuple[int, int]]:
    """The places [t, s] of the `count` largest weights above 0 of [T, S], the largest first, then in reading order."""
    n = max(0, min(count, weights.size))
    largest = np.argpartition(-weights, n - 1, axis=None)[:n] if n else np.empty(0, int)
    order = largest[np.lexsort((largest, -weights.flat[largest]))]
    return [divmod(i, weights.shape[1]) for i in order.tolist() if weights.flat[i] > 0]
