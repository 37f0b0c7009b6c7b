"""The likeliest labels of a run of words that make sense together, by Viterbi's algorithm (1967).

A model scores every word by itself, and may say I-PER after O. Of all sequences in which I-X follows B-X or I-X only,
the one with the highest sum of log-probabilities is taken.

T words, L labels.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clearhead.executor import Floats

Truths = NDArray[np.bool_]


def allowed(labels: Sequence[str]) -> tuple[Truths, Truths]:
    """Which labels may begin [L], and which may follow which [L, L] (from, to), under IOB2."""
    begins = np.array([not label.startswith("I-") for label in labels])
    follows = np.array(
        [
            [not to.startswith("I-") or (before[:2] in ("B-", "I-") and before[2:] == to[2:]) for to in labels]
            for before in labels
        ]
    )
    return begins, follows


def likeliest(logprobs: Floats, labels: Sequence[str]) -> list[int]:
    """The best sequence of labels for log-probabilities [T, L]."""
    if len(logprobs) == 0:
        return []
    begins, follows = allowed(labels)
    step = np.where(follows, 0.0, -np.inf)
    best = np.where(begins, logprobs[0].astype(np.float64), -np.inf)
    came: list[NDArray[np.intp]] = []
    for row in logprobs[1:]:
        ways = best[:, None] + step
        came.append(ways.argmax(axis=0))
        best = ways.max(axis=0) + row
    path = [int(best.argmax())]
    for previous in reversed(came):
        path.append(int(previous[path[-1]]))
    return path[::-1]
