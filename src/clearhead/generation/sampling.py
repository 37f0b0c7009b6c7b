"""From logits to a token and its log-probability.

Every sequence draws from a generator of its own, so what it says depends on its prompt and its seed, never on what
else is in the batch. All sums of probabilities are taken in float64.

T positions, V vocab_size.
"""

import math
import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearhead.errors import CheckpointError, OptionError
from clearhead.generation.records import Alternatives

Scores = NDArray[np.floating[Any]]  # logits, or log-probabilities; -inf rules a token out


BLOCK = 128  # scores looked at together where not every one of them matters


def fresh_seed() -> int:
    """A seed nobody chose; report it, and the sequence can be repeated."""
    return secrets.randbits(63)


def generator_for(seed: int, sample: int) -> np.random.Generator:
    """The source of chance of one sample of a prompt: samples differ, and do not shift when their number changes."""
    return np.random.default_rng([seed, sample])


def greedy(scores: Scores) -> int:
    """The likeliest token of [V]; the lowest id where several are.

    Raises:
        OptionError: every token is ruled out.
    """
    token = int(np.argmax(scores))
    check_peak(float(scores[token]))
    return token


def sample(scores: Scores, generator: np.random.Generator) -> int:
    """A token drawn from softmax of [V], by inverting the cumulative distribution at one uniform number.

    Raises:
        OptionError: every token is ruled out.
    """
    peak = float(scores.max())
    check_peak(peak)
    weights = np.exp(scores - peak)
    # Block by block, then within one block: a running sum over the whole vocabulary takes ten times longer.
    blocks = np.cumsum(np.add.reduceat(weights, np.arange(0, weights.size, BLOCK), dtype=np.float64))
    point = generator.random() * float(blocks[-1])
    block, left = locate(blocks, point)
    index, _ = locate(np.cumsum(weights[block * BLOCK : (block + 1) * BLOCK], dtype=np.float64), left)
    return block * BLOCK + index


def locate(sums: NDArray[np.float64], point: float) -> tuple[int, float]:
    """Where a point falls among running sums, never in an empty place, and how far behind that place's beginning."""
    last = float(np.nextafter(sums[-1], 0.0))  # rounding must not carry the point beyond the end
    index = int(np.searchsorted(sums, min(point, last), side="right"))
    return index, point - (float(sums[index - 1]) if index else 0.0)


def check_peak(peak: float) -> None:
    """Refuse a greatest score that is no number, or that says no token is left."""
    if peak == -math.inf:
        raise OptionError(
            "every token is ruled out; loosen logit_bias or min_new_tokens, or check the suppressed ids and what a "
            "constraint allows"
        )
    if not math.isfinite(peak):
        raise no_number(peak)


def no_number(peak: float) -> CheckpointError:
    """Why a largest logit is not finite."""
    return CheckpointError(
        f"the model's largest logit is {peak}: weights are damaged, or their dtype is too narrow; "
        "clearhead verify tells whether files changed, and dtype float32 is wide enough"
    )


def log_normaliser(logits: Scores) -> NDArray[np.float64]:
    """[..., 1]: log of the sum of exp over the last axis, computed around the peak.

    Raises:
        CheckpointError: logits that are not numbers, as damaged weights give.
    """
    peak = logits.max(axis=-1, keepdims=True)
    worst = peak[~np.isfinite(peak)]
    if worst.size:
        raise no_number(float(worst[0]))
    weights = logits - peak
    total = np.exp(weights, out=weights).sum(axis=-1, keepdims=True, dtype=np.float64)
    normaliser: NDArray[np.float64] = peak + np.log(total)
    return normaliser


def log_softmax(logits: Scores) -> NDArray[np.float64]:
    """[..., V]: log-probabilities in float64."""
    result: NDArray[np.float64] = logits - log_normaliser(logits)
    return result


def logprobs_of(logits: Scores, targets: Sequence[int]) -> list[float]:
    """The log-probability of targets[t] under logits[t], for logits [T, V]."""
    if not len(targets):
        return []
    chosen = logits[np.arange(len(targets)), np.asarray(targets, dtype=np.int64)]
    result: list[float] = (chosen - log_normaliser(logits)[:, 0]).tolist()
    return result


def logprob_and_alternatives(logits: Scores, token: int, count: int) -> tuple[float, Alternatives]:
    """The log-probability of a token under logits [V], and the `count` likeliest tokens with theirs."""
    normaliser = float(log_normaliser(logits)[0])
    alternatives = tuple((i, value - normaliser) for i, value in alternatives_of(logits, count))
    return float(logits[token]) - normaliser, alternatives


def alternatives_of(scores: Scores, count: int) -> Alternatives:
    """The `count` largest of [V] with their scores, largest first."""
    return tuple((int(i), float(scores[i])) for i in largest(scores, count)) if count else ()


def largest(scores: Scores, count: int) -> NDArray[np.intp]:
    """Indices of the `count` largest of a flat array, largest first, the lowest index first among equals."""
    candidates = np.flatnonzero(scores >= kth_largest(scores, count))
    return candidates[np.argsort(-scores[candidates], kind="stable")[:count]]


def kth_largest(scores: Scores, k: int) -> float:
    """The k-th largest of a flat array; the smallest where there are fewer.

    k blocks have a maximum that reaches the k-th largest maximum, so k scores do: what is below it, which is nearly
    everything, can be left out of the search.
    """
    maxima = np.maximum.reduceat(scores, np.arange(0, scores.size, BLOCK))
    if k < maxima.size:
        scores = scores[scores >= np.partition(maxima, maxima.size - k)[maxima.size - k]]
    k = min(k, scores.size)
    return float(np.partition(scores, scores.size - k)[scores.size - k])
