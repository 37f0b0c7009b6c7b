"""Bringing prompts into a cache, a bounded number of tokens per call.

A long prompt is cut into pieces, so that memory stays bounded and cancellation is noticed between them. The budget
counts the tokens of all rows of a call; rows that still have tokens share it evenly, and rows that are done bring
none.

T tokens of a piece, V vocab_size.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from clearhead.config import GenerationConfig
from clearhead.errors import OptionError
from clearhead.executor import Cache, Executor, Floats, Memory, Tokens
from clearhead.generation.records import PromptLogprobs
from clearhead.generation.sampling import logprobs_of

Cancelled = Callable[[], bool]
Want = Literal["last", "all"]
PREFILL_TOKENS = 512  # keeps the matrix units busy, and all their logits near 100 MB at a vocabulary of 50,000


def never() -> bool:
    """The default for `cancelled`."""
    return False


def wanted(config: GenerationConfig) -> Want:
    """Which logits of the prompt a request needs."""
    return "all" if config.prompt_logprobs else "last"


def feed(
    executor: Executor,
    tokens: Tokens,
    cache: Cache,
    memory: Memory | None,
    *,
    want: Want,
    budget: int = PREFILL_TOKENS,
    cancelled: Cancelled = never,
) -> Iterator[tuple[int, int, Floats]]:
    """Run the tokens through the decoder; yield (row, offset of the piece in its row, logits) per row and call.

    The logits are [T, V] with `want="all"`, else [1, V] of the piece's last token. Ends early when cancelled.

    Raises:
        OptionError: a budget below 1.
    """
    if budget < 1:
        raise OptionError(f"the budget of prefill is {budget} tokens per call; it must be at least 1")
    done = [0] * len(tokens)
    while pending := [i for i, row in enumerate(tokens) if done[i] < len(row)]:
        if cancelled():
            return
        share = max(1, budget // len(pending))
        pieces = [list(row[at : at + share]) for row, at in zip(tokens, done, strict=True)]
        outputs = executor.decode(pieces, cache, memory, want=want)
        for i in pending:
            yield i, done[i], outputs[i]
            done[i] += len(pieces[i])


@dataclass(frozen=True, kw_only=True, slots=True)
class Prefilled:
    """What is known once the prompts are in the cache."""

    logits: list[Floats]  # [V] after each prompt
    logprobs: list[PromptLogprobs | None]  # of each prompt's tokens, where all logits were wanted


def prefill(
    executor: Executor,
    prompts: Tokens,
    cache: Cache,
    memory: Memory | None,
    *,
    want: Want,
    budget: int = PREFILL_TOKENS,
    cancelled: Cancelled = never,
) -> Prefilled | None:
    """Read the prompts, none of them empty, into an empty cache; None when cancelled on the way."""
    last: dict[int, Floats] = {}
    scored: list[list[float | None]] = [[None] for _ in prompts]
    for i, at, logits in feed(executor, prompts, cache, memory, want=want, budget=budget, cancelled=cancelled):
        if want == "all":
            targets = prompts[i][at + 1 : at + 1 + len(logits)]
            scored[i] += logprobs_of(logits[: len(targets)], targets)
        last[i] = logits[-1].copy()  # an executor may reuse its output in the next call
    if any(held < len(prompt) for held, prompt in zip(cache.lengths, prompts, strict=True)):
        return None
    return Prefilled(
        logits=[last[i] for i in range(len(prompts))],
        logprobs=[tuple(row) if want == "all" else None for row in scored],
    )
