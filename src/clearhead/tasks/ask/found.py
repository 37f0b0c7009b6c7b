"""Whether the passages hold the answer: what the model would rather write, and how near they are to the question.

A small model that may refuse does so too often or too seldom, but how likely its answer is to begin as a refusal tells
more than whether it does. Together with the closeness of the passages (`closeness.py`) it gives a probability, by
logistic regression over 160 questions about Wikipedia whose paragraph was, or was not, among 2,250
(`benchmarks/not_found.py`; the constants stand where about 13 % of those with a paragraph are refused).
"""

import math
from dataclasses import dataclass

from clearhead.engine.completion import Completion
from clearhead.engine.model import Model
from clearhead.tasks.ask.prompt import NOT_FOUND

LEAST = 0.5  # probability from which on an answer is given
ALTERNATIVES = 20  # first tokens that are looked at


@dataclass(frozen=True, slots=True)
class Weights:
    """A logistic regression."""

    constant: float
    refusal: float  # of the log-probability that the answer begins as a refusal
    closeness: float

    @property
    def asks(self) -> bool:
        """Whether the model is told that it may refuse, and other rules; small ones are only led astray by them."""
        return self.refusal != 0

    def probability(self, refusal: float, closeness: float) -> float:
        """That the passages hold the answer."""
        odds = self.constant + self.refusal * refusal + self.closeness * closeness
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, odds))))


LARGE = Weights(constant=-9.0, refusal=-0.676, closeness=12.17)
SMALL = Weights(constant=-9.75, refusal=0.0, closeness=14.73)  # the refusals of a small model tell nothing


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
    return frozenset(model.tokenizer.encode(text, add_special_tokens=False, parse_special=False)[0] for text in spelled)


def is_refusal(text: str) -> bool:
    """Whether an answer says, in the words it was given, that there is none."""
    return text.strip().strip("\"'`*.[]() ").casefold().startswith(NOT_FOUND)
