"""How likely a model finds given tokens: what perplexity and classification by likelihood are made of."""

import math
from collections.abc import Sequence

from clearhead.config import Architecture
from clearhead.errors import OptionError
from clearhead.executor import Executor, Memory, Tokens
from clearhead.generation.prefill import PREFILL_TOKENS, feed, prefill
from clearhead.generation.prompts import check_ids, check_prompts
from clearhead.generation.records import PromptLogprobs
from clearhead.generation.sampling import logprobs_of


def score_sequences(
    executor: Executor, sequences: Tokens, *, memory: Memory | None = None, budget: int = PREFILL_TOKENS
) -> list[PromptLogprobs]:
    """The log-probability of each token given those before it (and the memory); None for the first of each sequence.

    Raises:
        OptionError, ContextWindowError, UnsupportedError: see `prompts.check_prompts`.
    """
    checked = check_prompts(sequences, executor.config, memory)
    cache = executor.new_cache(len(checked), max(map(len, checked)))
    read = prefill(executor, checked, cache, memory, want="all", budget=budget)
    return [row for row in read.logprobs if row is not None] if read else []


def score_continuations(
    executor: Executor,
    prompts: Tokens,
    continuations: Sequence[Tokens],
    *,
    memory: Memory | None = None,
    budget: int = PREFILL_TOKENS,
) -> list[list[tuple[float, ...]]]:
    """The log-probability of each token of each continuation; continuations[i] are those of prompts[i].

    A prompt is read once, however many continuations it has.

    Raises:
        OptionError, ContextWindowError, UnsupportedError: see `prompts.check_prompts`; the two must fit together.
    """
    checked = check_prompts(prompts, executor.config, memory)
    jobs = check_continuations(checked, continuations, executor.config)
    if not jobs:
        return [[] for _ in checked]
    longest = max(len(checked[i]) + len(ids) for i, ids in jobs)
    cache = executor.new_cache(len(checked), longest)
    for _ in feed(executor, [ids[:-1] for ids in checked], cache, memory, want="last", budget=budget):
        pass
    owners = [i for i, _ in jobs]
    cache.select(owners)
    memory = None if memory is None else memory.select(owners)
    scores: list[list[float]] = [[] for _ in jobs]
    rest = [[checked[i][-1], *ids[:-1]] for i, ids in jobs]
    for job, at, logits in feed(executor, rest, cache, memory, want="all", budget=budget):
        scores[job] += logprobs_of(logits, jobs[job][1][at : at + len(logits)])
    return [[tuple(s) for owner, s in zip(owners, scores, strict=True) if owner == i] for i in range(len(checked))]


def check_continuations(
    prompts: list[list[int]], continuations: Sequence[Tokens], config: Architecture
) -> list[tuple[int, list[int]]]:
    """Each continuation with the index of its prompt, in order."""
    if len(continuations) != len(prompts):
        raise OptionError(f"there are {len(prompts)} prompts and continuations for {len(continuations)} of them")
    jobs = []
    for i, group in enumerate(continuations):
        for ids in group:
            jobs.append((i, check_ids(ids, config, f"a continuation of prompt {i}")))
            check_ids([*prompts[i], *ids], config, f"prompt {i} with a continuation")
    return jobs


def perplexity(logprobs: Sequence[float | None]) -> float:
    """exp of the mean negative log-probability, over the tokens that have one."""
    known = [value for value in logprobs if value is not None]
    return math.exp(-sum(known) / len(known)) if known else math.nan
