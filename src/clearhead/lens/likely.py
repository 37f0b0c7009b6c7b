"""What is likely: the top of a distribution over the vocabulary, its entropy, and what its tokens say.

T positions, V vocab_size, k tokens listed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clearhead.errors import OptionError, TokenizerError, UnsupportedError
from clearhead.generation.sampling import largest, log_softmax
from clearhead.lens.payload import Token
from clearhead.lens.tokens import tokens_in
from clearhead.text.printable import one_line, spelled
from clearhead.text.tokenizer import Tokenizer
from clearhead.trace import Trace
from clearhead.trace.schema import LOGITS, StackName, last_stack

if TYPE_CHECKING:
    from clearhead.engine.model import Model

SCORES_AT_ONCE = 2_000_000  # of a vocabulary, in float64

Doubles = NDArray[np.float64]
Spell = Callable[[int], str]


class Likely(NamedTuple):
    """One token with its probability; `text` is harmless to show."""

    id: int
    text: str
    probability: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Top:
    """The likeliest tokens at each of T positions, the likeliest first, the lowest id first among equals."""

    ids: NDArray[np.int32]  # [T, k]
    probabilities: Doubles  # [T, k]
    entropy: Doubles  # [T] in nats

    def likely(self, position: int, spell: Spell) -> tuple[Likely, ...]:
        """Those of one position."""
        pairs = zip(self.ids[position].tolist(), self.probabilities[position].tolist(), strict=True)
        return tuple(Likely(token, spell(token), probability) for token, probability in pairs)


def top_of(logits: NDArray[Any], count: int) -> Top:
    """The `count` likeliest tokens under logits [T, V]; few positions at a time, for a vocabulary is large.

    Raises:
        CheckpointError: logits that are not numbers.
    """
    step = rows_at_once(logits.shape[1])
    found = [top_of_some(logits[i : i + step], count) for i in range(0, len(logits), step)]
    return Top(
        ids=np.concatenate([np.empty((0, count), np.int32), *(top.ids for top in found)]),
        probabilities=np.concatenate([np.empty((0, count)), *(top.probabilities for top in found)]),
        entropy=np.concatenate([np.empty(0), *(top.entropy for top in found)]),
    )


def top_of_some(logits: NDArray[Any], count: int) -> Top:
    """The same for positions whose distributions fit in memory together."""
    logprobs = log_softmax(logits)
    ids = np.stack([largest(row, count) for row in logits]).astype(np.int32)
    return Top(
        ids=ids,
        probabilities=np.exp(np.take_along_axis(logprobs, ids.astype(np.int64), axis=1)),
        entropy=entropy_of(logprobs),
    )


def entropy_of(logprobs: Doubles) -> Doubles:
    """[T] in nats, of log-probabilities [T, V]; what is ruled out adds nothing."""
    finite = np.maximum(logprobs, -1e4)  # exp is 0 there, and 0 times minus infinity would be no number
    return np.asarray(-np.einsum("tv,tv->t", np.exp(finite), finite))


def rows_at_once(vocab_size: int) -> int:
    """Positions whose distributions are looked at together."""
    return max(1, SCORES_AT_ONCE // vocab_size)


def check_top(top: int, vocab_size: int) -> None:
    """Refuse a number of tokens that cannot be listed."""
    if isinstance(top, bool) or not isinstance(top, int) or not 1 <= top <= vocab_size:
        raise OptionError(f"top is {top!r}; it must be a whole number from 1 to {vocab_size}")


def scored(trace: Trace) -> StackName:
    """The stack whose tokens have scores over the vocabulary.

    Raises:
        UnsupportedError: a model whose head scores no tokens.
    """
    if trace.config.head not in ("lm", "mlm"):
        raise UnsupportedError(
            f"this model's head is {trace.config.head!r}; it says nothing of the vocabulary's tokens"
        )
    return last_stack(trace.config)


def logits_of(trace: Trace) -> NDArray[Any]:
    """[T, V] of the trace.

    Raises:
        UnsupportedError: see `scored`.
        OptionError: they were not kept.
    """
    scored(trace)
    if LOGITS not in trace:
        raise OptionError('the trace holds no logits; trace with kinds that include "logits"')
    return trace[LOGITS]


def speller(trace: Trace, model: "Model | None" = None) -> Spell:
    """What says a token's text: the model's vocabulary; without one the tokens that the trace read, and numbers."""
    source = model or getattr(trace, "source", None)
    try:
        tokenizer = None if source is None else source.tokenizer
    except TokenizerError:
        tokenizer = None
    known = {
        token: one_line(text or piece)
        for stack in trace.ids
        for token, text, piece in zip(
            trace.ids[stack], trace.texts.get(stack, ()), trace.pieces.get(stack, ()), strict=False
        )
    }

    def spell(token: int) -> str:
        if token not in known:
            known[token] = f"<{token}>" if tokenizer is None else token_text(tokenizer, token)
        return known[token]

    return spell


def token_text(tokenizer: Tokenizer, token: int) -> str:
    """What one token says, harmless to show; its number where the vocabulary has no spelling for it."""
    data = tokenizer.token_bytes(token)
    return spelled(data) if data else one_line(tokenizer.pieces([token])[0]) or f"<{token}>"


def tokens_from(trace: Trace, stack: str) -> list[Token]:
    """The tokens of a stack from where the trace begins."""
    span = trace.spans[stack]
    return tokens_in(trace, stack)[span.first : span.first + span.filled]
