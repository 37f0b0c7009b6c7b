"""The decode loop: every row of the batch gets one call's worth of tokens at a time, until none is left.

Each prompt is read once, its row of the cache is copied for its n samples, and rows leave the cache when they finish.
A row may bring guesses after its last token (`propose`); those that turn out right are kept, the cache forgets the
rest. With no guesses this is ordinary decoding; `speculative` makes guesses. The loop itself never asks which.

Tokens appear when the iterator is advanced; closing it, or dropping it, ends the work.
"""

from collections.abc import Callable, Generator, Sequence

from clearhead.config import GenerationConfig, SpecialTokens
from clearhead.executor import Cache, Executor, Floats, Memory, Tokens
from clearhead.generation.ending import Stop, no_stop
from clearhead.generation.prefill import PREFILL_TOKENS, Cancelled, never, prefill, wanted
from clearhead.generation.processors import Allowed
from clearhead.generation.prompts import check_prompts
from clearhead.generation.records import Step
from clearhead.generation.row import Row, choose_all, new_rows

Propose = Callable[[Row], list[int]]  # guesses at what follows a row, at most limit - len(tokens) - 1 of them


def no_guess(_row: Row) -> list[int]:
    """The default for `propose`."""
    return []


def start(
    executor: Executor,
    prompts: Tokens,
    config: GenerationConfig,
    special: SpecialTokens,
    *,
    memory: Memory | None = None,
    stop: Stop = no_stop,
    allowed: Allowed | None = None,
) -> list[Row]:
    """The rows of a request: n for each prompt, in order. `config.beams` is not read.

    Raises:
        OptionError: an empty prompt, an id outside the vocabulary, or memory that the model lacks or cannot use.
        ContextWindowError: a prompt longer than the context window.
        UnsupportedError: the model has no decoder.
    """
    checked = check_prompts(prompts, executor.config, memory)
    groups = (new_rows(i, ids, config, special, executor.config, stop, allowed) for i, ids in enumerate(checked))
    return [row for group in groups for row in group]


def run(
    executor: Executor,
    rows: Sequence[Row],
    *,
    memory: Memory | None = None,
    cancelled: Cancelled = never,
    prefill_tokens: int = PREFILL_TOKENS,
    propose: Propose = no_guess,
) -> Generator[Step]:
    """Decode until every row has finished, or until cancelled; one `Step` per new token, as soon as it is known.

    `memory` has one row per prompt. Several rows take turns: one token each (or one run of right guesses), in order.

    Raises:
        OptionError: every token is ruled out.
        CheckpointError: the logits are not numbers.
    """
    read = read_prompts(executor, rows, memory, cancelled, prefill_tokens)
    if read is None:
        return
    cache, after = read
    alive = [row for row in rows if not row.finish_reason]
    blocks = [after[row.index][None] for row in alive]
    memory = keep_rows([row.index for row in alive], cache, memory)
    drafts: list[list[int]] = [[] for _ in alive]
    while alive:
        chosen = choose_all(alive, [logits[0] for logits in blocks], executor.threads)
        for row, logits, draft, token in zip(alive, blocks, drafts, chosen, strict=True):
            yield from row.extend(logits, draft, token)
        if any(drafts):  # the last token of a row is always one the cache has not seen yet
            cache.truncate([row.length - 1 for row in alive])
        staying = [i for i, row in enumerate(alive) if not row.finish_reason]
        alive = [alive[i] for i in staying]
        if not alive or cancelled():
            return
        memory = keep_rows(staying, cache, memory)
        drafts = [propose(row) for row in alive]
        fed = [[row.tokens[-1], *draft] for row, draft in zip(alive, drafts, strict=True)]
        blocks = executor.decode(fed, cache, memory, want="all" if any(drafts) else "last")


def read_prompts(
    executor: Executor, rows: Sequence[Row], memory: Memory | None, cancelled: Cancelled, prefill_tokens: int
) -> tuple[Cache, list[Floats]] | None:
    """A cache that holds each prompt once, and the logits [V] after each; None if cancelled, or nothing is to be done.

    Gives the rows their prompt's log-probabilities where those were asked for.
    """
    config = rows[0].config
    if all(row.finish_reason for row in rows) and not config.prompt_logprobs:
        return None
    prompts = [row.history.tolist() for row in rows if row.sample == 0]
    cache = executor.new_cache(len(prompts), max(len(row.ids) for row in rows))
    read = prefill(executor, prompts, cache, memory, want=wanted(config), budget=prefill_tokens, cancelled=cancelled)
    if read is None:
        return None
    for row in rows:
        row.prompt_logprobs = read.logprobs[row.index]
    return cache, read.logits


def keep_rows(rows: Sequence[int], cache: Cache, memory: Memory | None) -> Memory | None:
    """Let cache and memory continue with these rows; does nothing where all stay in place."""
    if list(rows) == list(range(len(cache.lengths))):
        return memory
    cache.select(rows)
    return None if memory is None else memory.select(rows)
