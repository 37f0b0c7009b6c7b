"""What generation hands out: one `Step` per new token while it runs, one `Generation` per sequence when it is over.

A sequence's `tokens` include the id that ended it, as transformers' do, so tokens and log-probabilities stay aligned;
`text_tokens` leaves that id out.
"""

from dataclasses import dataclass
from typing import Literal

FinishReason = Literal["stop", "length", "cancelled"]
Alternatives = tuple[tuple[int, float], ...]  # (token, log-probability), likeliest first
PromptLogprobs = tuple[float | None, ...]  # of each prompt token given those before it; None for the first


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One new token of one sequence."""

    prompt: int  # which prompt of the batch
    sample: int  # which of its n samples
    token: int
    logprob: float | None  # of the model's own distribution, before any processor; None where not asked for
    alternatives: Alternatives
    finish_reason: FinishReason | None  # None: more follow, or the request was cancelled
    is_end: bool  # the token is an end-of-sequence or stop id: part of the sequence, but not of its text


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """One finished sequence.

    `stop`: an end-of-sequence id, a stop id or the caller's stop predicate. `length`: max_new_tokens, or the context
    window was full. `cancelled`: the caller cancelled first; the tokens so far are kept.
    """

    prompt: int
    sample: int  # with beams: the rank, 0 is the best
    tokens: tuple[int, ...]
    finish_reason: FinishReason
    end_token: int | None = None  # the id that ended the sequence, if one did; then it is tokens[-1]
    logprobs: tuple[float, ...] | None = None  # one per token; None where not asked for
    alternatives: tuple[Alternatives, ...] | None = None
    prompt_logprobs: PromptLogprobs | None = None
    seed: int | None = None  # what repeats this sequence; None where nothing was drawn
    score: float | None = None  # beams: the sum of log-probabilities over length ** length_penalty
    drafted: int = 0  # speculation: tokens guessed ahead
    accepted: int = 0  # speculation: guesses that became tokens

    @property
    def text_tokens(self) -> tuple[int, ...]:
        """The tokens to turn into text: all but the id that ended the sequence."""
        return self.tokens if self.end_token is None else self.tokens[:-1]

    @property
    def cumulative_logprob(self) -> float | None:
        """The log-probability of the whole sequence given its prompt, where log-probabilities were asked for."""
        return None if self.logprobs is None else float(sum(self.logprobs))
