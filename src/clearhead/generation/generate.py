"""A request in, its sequences out: the one place that asks which mode a `GenerationConfig` means.

`memory` is what `prompts.encode_sources` made, for a model with an encoder; `prompts` are then the decoder's.
"""

from collections.abc import Generator

from clearhead.config import GenerationConfig, SpecialTokens
from clearhead.errors import OptionError
from clearhead.executor import Executor, Memory, Tokens
from clearhead.generation import decode
from clearhead.generation.beam import beam_search
from clearhead.generation.ending import Stop, no_stop
from clearhead.generation.prefill import PREFILL_TOKENS, Cancelled, never
from clearhead.generation.processors import Allowed
from clearhead.generation.records import Generation, Step
from clearhead.generation.speculative import prompt_lookup


def generate(
    executor: Executor,
    prompts: Tokens,
    config: GenerationConfig,
    special: SpecialTokens,
    *,
    memory: Memory | None = None,
    stop: Stop = no_stop,
    allowed: Allowed | None = None,
    cancelled: Cancelled = never,
    prefill_tokens: int = PREFILL_TOKENS,
) -> list[list[Generation]]:
    """The n sequences of each prompt, in order; with beams, the best n, best first.

    `stop(prompt, sample, new_ids)` ends a sequence where it says so; `allowed(prompt, new_ids)` says which tokens may
    come next, ends among them, as truth values [V], or None for any; `cancelled()` ends all sequences, before the next
    call of the executor. Prompts are read at most `prefill_tokens` at a time.

    Raises:
        OptionError: an empty prompt, an id outside the vocabulary, memory that the model lacks or cannot use, or
            options that leave no token.
        ContextWindowError: a prompt longer than the context window.
        UnsupportedError: the model has no decoder.
        CheckpointError: the model's logits are not numbers.
    """
    if config.beams > 1:
        return beam_search(
            executor,
            prompts,
            config,
            special,
            memory=memory,
            stop=stop,
            allowed=allowed,
            cancelled=cancelled,
            prefill_tokens=prefill_tokens,
        )
    rows = decode.start(executor, prompts, config, special, memory=memory, stop=stop, allowed=allowed)
    for _ in decode.run(
        executor,
        rows,
        memory=memory,
        cancelled=cancelled,
        prefill_tokens=prefill_tokens,
        propose=proposer(config),
    ):
        pass
    done = [row.generation() for row in rows]
    return [done[i : i + config.n] for i in range(0, len(done), config.n)]


def stream(
    executor: Executor,
    prompts: Tokens,
    config: GenerationConfig,
    special: SpecialTokens,
    *,
    memory: Memory | None = None,
    stop: Stop = no_stop,
    allowed: Allowed | None = None,
    cancelled: Cancelled = never,
    prefill_tokens: int = PREFILL_TOKENS,
) -> Generator[Step]:
    """As `generate`, one `Step` per new token, as soon as it is known. A prompt without room for any token gives none.

    Prompts and options are checked here and now, not when the first token is asked for. A caller who wants to report
    the seed sets one (`sampling.fresh_seed`).

    Raises:
        OptionError: see `generate`; also beams, which are not known before the end.
        ContextWindowError, UnsupportedError, CheckpointError: see `generate`.
    """
    if config.beams > 1:
        raise OptionError(
            f"beams is {config.beams}, and beam search knows no token before the end; use beams 1 to stream"
        )
    rows = decode.start(executor, prompts, config, special, memory=memory, stop=stop, allowed=allowed)
    return decode.run(
        executor, rows, memory=memory, cancelled=cancelled, prefill_tokens=prefill_tokens, propose=proposer(config)
    )


def proposer(config: GenerationConfig) -> decode.Propose:
    """What guesses ahead for this request."""
    return prompt_lookup(config.draft_tokens) if config.draft_tokens else decode.no_guess
