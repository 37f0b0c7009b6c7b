"""Prompt-lookup speculative decoding: guess that what followed the last few tokens before will follow them again.

The guess costs a search in the sequence's own ids (Saxena 2023, "Prompt Lookup Decoding"); one call checks all of it,
and a guess is kept while it is the very token that greedy decoding chooses (Leviathan et al. 2023, section 2.3, for a
draft that is certain and a target at temperature 0). So the result equals greedy decoding, processors and stops
included.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from clearhead.generation.row import Row

LONGEST_MATCH = 3


def prompt_lookup(draft_tokens: int) -> Callable[[Row], list[int]]:
    """A `propose` for the decode loop that guesses `draft_tokens` ahead, fewer where the row's limit is nearer."""

    def propose(row: Row) -> list[int]:
        return lookup(row.history, min(draft_tokens, row.ending.limit - len(row.tokens) - 1))

    return propose


def lookup(ids: NDArray[np.int64], count: int) -> list[int]:
    """What followed the latest earlier occurrence of the last 3 ids, else of the last 2, else of the last one.

    Where the guess reaches the end of the ids it goes on with itself, so a loop is continued as a loop.
    """
    for n in range(min(LONGEST_MATCH, len(ids) - 1), 0, -1):
        matches = np.ones(len(ids) - n, dtype=np.bool_)
        for j in range(n):
            matches &= ids[j : len(ids) - n + j] == ids[j - n]
        found = np.flatnonzero(matches)
        if found.size:
            follows = int(found[-1]) + n
            return np.resize(ids[follows:], max(count, 0)).tolist()
    return []
