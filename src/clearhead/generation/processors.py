"""Pure functions that change the scores [V] of the next token, composed once per request.

The order is that of transformers and vLLM: logit bias; repetition, presence and frequency penalties; ruled-out tokens;
and, when sampling, temperature, top-k, top-p, min-p. Greedy decoding skips the last four, which never move the largest.
Scores are logits here; beam search passes log-probabilities, as transformers does.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearhead.config import GenerationConfig, SpecialTokens
from clearhead.errors import OptionError
from clearhead.generation.ending import end_ids
from clearhead.generation.sampling import Scores, check_peak, kth_largest

Ids = NDArray[np.integer[Any]]
# (scores [V], ids of prompt and new tokens, where the new ones begin) -> scores [V]
Processor = Callable[[Scores, Ids, int], Scores]
# (prompt index, new ids so far) -> [V], true where a token may come next; None: any may
Allowed = Callable[[int, list[int]], NDArray[np.bool_] | None]

COLDEST = 1e-30  # float32 divides by nothing smaller without making 0 / 0


def temperature(scores: Scores, value: float) -> Scores:
    """Divide by the temperature. The peak is moved to 0 first, which softmax cannot see, so nothing overflows upwards.

    Raises:
        OptionError: every token is ruled out.
    """
    peak = scores.max()
    check_peak(float(peak))
    with np.errstate(over="ignore"):
        cooled: Scores = (scores - peak) / max(value, COLDEST)
    return cooled


def top_k(scores: Scores, k: int) -> Scores:
    """Keep the k largest, and whatever equals the smallest of them (Fan et al. 2018, section 5.4)."""
    return np.where(scores < kth_largest(scores, k), -np.inf, scores)


def top_p(scores: Scores, p: float) -> Scores:
    """Keep the nucleus: the fewest likeliest tokens that hold at least p together (Holtzman et al. 2020, section 3.1).

    Tokens below (1 - p) / V sum to less than 1 - p even if every token were one of them, so none can be in the nucleus:
    only the few above are sorted, and the result is exact. The lowest id comes first among equals.
    """
    probabilities = np.exp(scores - scores.max())
    probabilities /= probabilities.sum(dtype=np.float64)
    candidates = np.flatnonzero(probabilities >= (1.0 - p) / scores.size)
    candidates = candidates[np.argsort(-scores[candidates], kind="stable")]
    reached = np.cumsum(probabilities[candidates], dtype=np.float64)
    kept = candidates[: int(np.searchsorted(reached, p, side="left")) + 1]
    result = np.full_like(scores, -np.inf)
    result[kept] = scores[kept]
    return result


def min_p(scores: Scores, p: float) -> Scores:
    """Keep what is at least p times as likely as the likeliest (Nguyen et al. 2024, 2407.01082, section 3)."""
    return np.where(scores < scores.max() + np.log(p), -np.inf, scores)


def repetition_penalty(scores: Scores, seen: Ids, penalty: float) -> Scores:
    """Divide positive scores of seen tokens by the penalty and multiply negative ones (Keskar et al. 2019, 4.1)."""
    result = scores.copy()
    values = scores[seen]  # an id seen twice is written twice with the same value
    result[seen] = np.where(values < 0, values * penalty, values / penalty)
    return result


def presence_and_frequency(scores: Scores, new: Ids, presence: float, frequency: float) -> Scores:
    """Subtract `presence` from every token generated before, and `frequency` per time it was (OpenAI's definition)."""
    tokens, counts = np.unique(new, return_counts=True)
    result = scores.copy()
    result[tokens] -= (presence + frequency * counts).astype(scores.dtype)
    return result


def add_bias(scores: Scores, ids: Ids, values: Scores) -> Scores:
    """Add values[i] to the score of token ids[i]."""
    result = scores.copy()
    result[ids] += values.astype(scores.dtype)
    return result


def suppress(scores: Scores, ids: Ids) -> Scores:
    """Rule these tokens out."""
    result = scores.copy()
    result[ids] = -np.inf
    return result


def only(allowed: Allowed, prompt: int) -> Processor:
    """What the caller allows after each prefix of one prompt's sequence, as a processor that rules out the rest.

    A token that alone may come is not chosen, so it costs a sequence nothing: else a beam would prefer those that put
    it off, where the model thinks little of it.
    """

    def process(scores: Scores, ids: Ids, start: int) -> Scores:
        mask = allowed(prompt, ids[start:].tolist())
        if mask is None:
            return scores
        if mask.shape != scores.shape:
            raise OptionError(
                f"allowed gave {mask.shape} for a vocabulary of {scores.size}; give one truth value a token"
            )
        if np.count_nonzero(mask) == 1:
            return np.where(mask & (scores > -np.inf), np.zeros_like(scores), -np.inf)
        return np.where(mask, scores, -np.inf)

    return process


@dataclass(frozen=True, slots=True)
class Rules:
    """What a request does to the scores of the next token, whether or not it samples: changes, then exclusions."""

    changes: tuple[Processor, ...]  # which may look at what was said; the caller's own exclusions among them
    never: NDArray[np.int64]  # ids that may not be said
    too_early: NDArray[np.int64]  # nor these, before there are `least` new tokens
    least: int

    def excluded(self, new: int) -> NDArray[np.int64]:
        """The ids that may not follow so many new tokens."""
        return np.concatenate([self.never, self.too_early]) if new < self.least else self.never

    def __call__(self, scores: Scores, ids: Ids, start: int) -> Scores:
        """A `Processor`."""
        for change in self.changes:
            scores = change(scores, ids, start)
        excluded = self.excluded(len(ids) - start)
        return suppress(scores, excluded) if excluded.size else scores


def rules(
    config: GenerationConfig,
    special: SpecialTokens,
    vocab_size: int,
    *,
    allowed: Allowed | None = None,
    prompt: int = 0,
) -> Rules:
    """The rules of a request; `allowed` may tell its prompts apart.

    Raises:
        OptionError: a biased or stopping id outside the vocabulary.
    """
    check_vocabulary("logit_bias", config.logit_bias, vocab_size)
    check_vocabulary("stop_ids", config.stop_ids, vocab_size)
    # A checkpoint may name ids beyond its own vocabulary; the model cannot generate those anyway.
    return Rules(
        changes=(*changes(config), *([] if allowed is None else [only(allowed, prompt)])),
        never=as_ids(i for i in special.suppressed if 0 <= i < vocab_size),
        too_early=as_ids(i for i in end_ids(config, special) if 0 <= i < vocab_size),
        least=config.min_new_tokens,
    )


def changes(config: GenerationConfig) -> list[Processor]:
    """Biases and penalties."""
    steps: list[Processor] = []
    if config.logit_bias:
        biased = np.array([*config.logit_bias.keys()], dtype=np.int64)
        biases = np.array([*config.logit_bias.values()], dtype=np.float64)
        steps.append(lambda scores, _ids, _start: add_bias(scores, biased, biases))
    if config.repetition_penalty != 1.0:
        steps.append(lambda scores, ids, _start: repetition_penalty(scores, ids, config.repetition_penalty))
    if config.presence_penalty or config.frequency_penalty:
        amounts = config.presence_penalty, config.frequency_penalty
        steps.append(lambda scores, ids, start: presence_and_frequency(scores, ids[start:], *amounts))
    return steps


def warpers(config: GenerationConfig) -> list[Processor]:
    """What sampling adds: the shape of the distribution and its cuts."""
    steps: list[Processor] = [lambda scores, _ids, _start: temperature(scores, config.temperature)]
    if config.top_k:
        steps.append(lambda scores, _ids, _start: top_k(scores, config.top_k))
    if config.top_p < 1.0:
        steps.append(lambda scores, _ids, _start: top_p(scores, config.top_p))
    if config.min_p:
        steps.append(lambda scores, _ids, _start: min_p(scores, config.min_p))
    return steps


def build(config: GenerationConfig, special: SpecialTokens, vocab_size: int) -> Processor:
    """One function that does what the request asks for, and nothing else.

    Raises:
        OptionError: see `rules`.
    """
    return compose([rules(config, special, vocab_size), *(warpers(config) if config.temperature > 0 else [])])


def compose(steps: Sequence[Processor]) -> Processor:
    """One processor that applies these in order."""

    def process(scores: Scores, ids: Ids, start: int) -> Scores:
        for step in steps:
            scores = step(scores, ids, start)
        return scores

    return process


def check_vocabulary(name: str, ids: Iterable[int], vocab_size: int) -> None:
    """Refuse ids that the model does not have."""
    for token in ids:
        if not 0 <= token < vocab_size:
            raise OptionError(f"{name} names id {token}; this vocabulary has ids 0 to {vocab_size - 1}")


def as_ids(ids: Iterable[int]) -> NDArray[np.int64]:
    """Token ids as an index array."""
    return np.array(sorted(set(ids)), dtype=np.int64)
