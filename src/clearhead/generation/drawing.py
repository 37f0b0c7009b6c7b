"""Choosing tokens for all rows of a batch at once: sampling, and the ranking that beams need, in C++.

What each step does, and what the tests hold this against, is written out in `processors.warpers`, `sampling.sample` and
`sampling.largest`, which also serve where scores are float64. R rows, V vocab_size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from clearhead.config import GenerationConfig
from clearhead.generation.processors import COLDEST, compose, suppress, warpers
from clearhead.generation.sampling import Scores, check_peak, greedy, largest, log_normaliser, sample
from clearhead.native import _native

NO_IDS = np.zeros(0, dtype=np.int64)

# How the token of a row is chosen: the request, and where its chance comes from; without, the likeliest token.
Chooser = tuple[GenerationConfig, np.random.Generator | None]


def choose(scores: Sequence[Scores], choosers: Sequence[Chooser], threads: int = 1) -> list[int]:
    """A token for each row, from its scores [V].

    Raises:
        OptionError: every token is ruled out.
        CheckpointError: the scores are not numbers.
    """
    tokens = [-1] * len(scores)
    drawn: list[tuple[int, GenerationConfig, float]] = []
    for i, (row, (config, generator)) in enumerate(zip(scores, choosers, strict=True)):
        if generator is None:
            tokens[i] = greedy(row)
        elif row.dtype != np.float32:
            tokens[i] = sample(compose(warpers(config))(row, NO_IDS, 0), generator)
        else:
            drawn.append((i, config, generator.random()))
    if drawn:
        found = _native.sample(
            [np.ascontiguousarray(scores[i]) for i, _, _ in drawn],
            [max(config.temperature, COLDEST) for _, config, _ in drawn],
            [config.top_k for _, config, _ in drawn],
            [config.top_p for _, config, _ in drawn],
            [config.min_p for _, config, _ in drawn],
            [uniform for _, _, uniform in drawn],
            threads,
        )
        for (i, _, _), token in zip(drawn, found, strict=True):
            if token < 0:
                check_peak(float(scores[i].max()))
            tokens[i] = token
    return tokens


@dataclass(frozen=True, slots=True)
class Ranked:
    """The best tokens of each row, best first."""

    tokens: NDArray[np.int64]  # [R, count]
    scores: NDArray[np.float64]  # [R, count]; -inf where fewer than `count` tokens are left
    normalisers: NDArray[np.float64]  # [R]: what is subtracted from logits to make log-probabilities


def rank(logits: Sequence[Scores], count: int, excluded: Sequence[NDArray[np.int64]], threads: int = 1) -> Ranked:
    """The `count` likeliest tokens of each row but the excluded ones, which still have their share of the probability.

    Raises:
        CheckpointError: the logits are not numbers.
    """
    if any(row.dtype != np.float32 for row in logits):
        return rank_exactly(logits, count, excluded)
    rows = [np.ascontiguousarray(row) for row in logits]
    tokens, best, normalisers = _native.best(rows, count, [ids.tolist() for ids in excluded], threads)
    for i in np.flatnonzero(np.isnan(normalisers)):
        log_normaliser(rows[i])  # says what is wrong with them
    return Ranked(tokens, best - normalisers[:, None], normalisers)


def rank_exactly(logits: Sequence[Scores], count: int, excluded: Sequence[NDArray[np.int64]]) -> Ranked:
    """The same in NumPy and float64."""
    return rank_changed(logits, count, [partial(suppress, ids=ids) for ids in excluded])


def rank_changed(logits: Sequence[Scores], count: int, changes: Sequence[Callable[[Scores], Scores]]) -> Ranked:
    """The same where changes[i] changes row i's log-probabilities [V] in any way: each row is gone through whole.

    Raises:
        CheckpointError: the logits are not numbers.
    """
    R = len(logits)
    ranked = Ranked(np.full((R, count), -1, dtype=np.int64), np.full((R, count), -np.inf), np.zeros(R))
    for i, (row, change) in enumerate(zip(logits, changes, strict=True)):
        normaliser = log_normaliser(row)
        scores = change(row - normaliser)
        left = np.flatnonzero(scores > -np.inf)  # often few, where a grammar rules; equal ones make the search slow
        found = left[largest(scores[left], count)] if left.size else left
        ranked.tokens[i, : len(found)], ranked.scores[i, : len(found)] = found, scores[found]
        ranked.normalisers[i] = float(normaliser[0])
    return ranked
