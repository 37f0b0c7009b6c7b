"""Whether the passages hold the answer: what the model would rather write, and how near the passages are.

A small model asked to answer or to refuse refuses too often or too seldom, but how likely the first token of the
refusal is tells more than whether it wins. Together with how near in meaning the nearest passage is it gives a
probability, by logistic regression over questions whose passage was, or was not, among the documents
(docs/tasks.md: which, and how well it separates others).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from clearhead.engine.completion import Completion
from clearhead.engine.model import Model
from clearhead.tasks.ask.prompt import NOT_FOUND
from clearhead.tasks.ask.retrieve import Hit

LEAST = 0.5  # probability from which on an answer is given
ALTERNATIVES = 20  # first tokens that are looked at


@dataclass(frozen=True, slots=True)
class Weights:
    """A logistic regression."""

    constant: float
    refusal: float  # of the log-probability that the answer begins as a refusal
    meaning: float  # of the highest cosine


LARGE = Weights(constant=-3.0, refusal=-0.6, meaning=6.0)
SMALL = Weights(constant=-3.0, refusal=0.0, meaning=9.0)  # a small model's refusals tell nothing


def probability(refusal: float, hits: Sequence[Hit], weights: Weights) -> float:
    """That the passages hold the answer; 0 without any passage."""
    if not hits:
        return 0.0
    nearest = max(hit.meaning for hit in hits)
    odds = weights.constant + weights.refusal * refusal + weights.meaning * nearest
    return 1 / (1 + math.exp(-odds))


def refusal(completion: Completion, openings: frozenset[int]) -> float:
    """The log-probability that the answer begins as a refusal; that of the rarest token seen where none of them was."""
    seen = completion.samples[0].alternatives
    first = seen[0] if seen else ()
    chances = [math.exp(logprob) for token, logprob in first if token in openings]
    if chances:
        return math.log(sum(chances))
    return first[-1][1] if first else 0.0


def openings(model: Model) -> frozenset[int]:
    """The first token of the refusal, as the model may write it."""
    spelled = (NOT_FOUND, NOT_FOUND.capitalize(), NOT_FOUND.upper())
    return frozenset(
        model.tokenizer.encode(text, add_special_tokens=False, parse_special=False)[0] for text in spelled
    )


def is_refusal(text: str) -> bool:
    """Whether an answer says, in the words it was given, that there is none."""
    return text.strip().strip("\"'`*.[]() ").casefold().startswith(NOT_FOUND)
