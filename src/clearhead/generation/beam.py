"""Beam search: keep the `beams` best unfinished hypotheses of each prompt, and the best `beams` finished ones.

The rules are those of transformers 5, so that its results are reproduced:

- Processors change log-probabilities, not logits, and what they give is summed without normalising again. (Greedy
  decoding changes logits; only a repetition penalty tells the two apart.)
- Where a caller allows one token alone, that one costs nothing (`processors.only`), unlike there.
- Each step looks at the best (1 + number of ending ids) * beams continuations, at least 2 * beams. One that ends
  counts as finished only if it is among the first `beams`; the best that go on are the next beam.
- A finished hypothesis scores sum / length ** length_penalty; the ending id counts as length, the prompt does not.
- With early_stopping a prompt is done as soon as `beams` hypotheses are finished. Without, when in addition the best
  unfinished one, scored at its present length, would not beat the worst finished one.

CTranslate2 scores in the same way, and stops as early_stopping does; it keeps all hypotheses that finish in the last
step, and with length_penalty 0 it stops sooner, once the first of the beam has finished, which changes no best result.

R unfinished hypotheses of a prompt, V vocab_size.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from clearhead.config import Architecture, GenerationConfig, SpecialTokens
from clearhead.executor import Executor, Floats, Memory, Tokens
from clearhead.generation.decode import keep_rows
from clearhead.generation.drawing import rank, rank_changed
from clearhead.generation.ending import Ending, Stop, end_ids, no_stop
from clearhead.generation.prefill import PREFILL_TOKENS, Cancelled, never, prefill, wanted
from clearhead.generation.processors import Allowed, Rules, rules
from clearhead.generation.prompts import check_prompts, room
from clearhead.generation.records import Alternatives, FinishReason, Generation, PromptLogprobs
from clearhead.generation.sampling import Scores, alternatives_of, check_peak


@dataclass(frozen=True, kw_only=True, slots=True)
class Hypothesis:
    """New tokens after a prompt, as one path of the search holds them."""

    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()  # the model's own, per token
    alternatives: tuple[Alternatives, ...] = ()
    total: float = 0.0  # sum of the processed log-probabilities
    finish_reason: FinishReason | None = None

    def score(self, length_penalty: float) -> float:
        """The total over a power of the length; higher is better (Wu et al. 2016, section 7, in its simplest form)."""
        length = float(max(1, len(self.tokens)))
        return self.total / math.pow(length, length_penalty)


@dataclass(frozen=True, slots=True)
class Candidates:
    """What may follow each unfinished hypothesis of one search: enough tokens of each for the best of all."""

    tokens: NDArray[np.int64]  # [R, width]
    scores: NDArray[np.float64]  # [R, width]: log-probabilities, changed as the request asks; best first
    normalisers: NDArray[np.float64]  # [R]
    logits: Sequence[Floats]  # [V] for each


@dataclass(slots=True, kw_only=True)
class Search:
    """The search for one prompt."""

    index: int
    prompt: list[int]
    config: GenerationConfig
    rules: Rules
    ending: Ending
    running: list[Hypothesis] = field(default_factory=list)  # best first
    finished: list[Hypothesis] = field(default_factory=list)  # best first, at most `beams`
    prompt_logprobs: PromptLogprobs | None = None

    @property
    def done(self) -> bool:
        """Whether no unfinished hypothesis is worth going on with."""
        if not self.running or len(self.finished) < self.config.beams:
            return not self.running
        penalty = self.config.length_penalty
        return self.config.early_stopping or self.running[0].score(penalty) <= self.finished[-1].score(penalty)

    def advance(self, candidates: Candidates) -> list[int]:
        """Take what may follow each unfinished hypothesis; which of them each of the next ones continues."""
        beams, parents = self.config.beams, list[int]()
        previous, self.running = self.running, []
        for place, (row, hypothesis) in enumerate(self.continuations(previous, candidates)):
            if hypothesis.finish_reason is None:
                self.running.append(hypothesis)
                parents.append(row)
            elif place < beams:
                self.finished.append(hypothesis)
            if len(self.running) == beams:  # whatever finishes from here on is not among the first
                break
        self.finished = self.ordered(self.finished)[:beams]
        return parents

    def continuations(self, running: Sequence[Hypothesis], candidates: Candidates) -> Iterator[tuple[int, Hypothesis]]:
        """The best continuations by one token of all unfinished hypotheses, best first, with the row each continues."""
        totals = np.array([[h.total] for h in running]) + candidates.scores
        check_peak(float(totals.max()))
        count = candidates.tokens.shape[1]
        for i, at in enumerate(np.argsort(-totals, axis=None, kind="stable")[:count].tolist()):
            row, place = divmod(at, count)
            if totals[row, place] > -np.inf:
                yield row, self.extended(running[row], candidates, row, place, float(totals[row, place]), i)

    @property
    def width(self) -> int:
        """Continuations that are looked at, of all hypotheses and so of each."""
        return max(2, 1 + len(self.ending.ends)) * self.config.beams

    def processed(self, hypothesis: Hypothesis, logprobs: Scores) -> Scores:
        """Log-probabilities [V] of the token after a hypothesis, changed as the request asks."""
        ids = np.array([*self.prompt, *hypothesis.tokens], dtype=np.int64)
        return self.rules(logprobs, ids, len(self.prompt))

    def extended(
        self, parent: Hypothesis, candidates: Candidates, row: int, place: int, total: float, sample: int
    ) -> Hypothesis:
        """A hypothesis and one more token."""
        token = int(candidates.tokens[row, place])
        tokens = (*parent.tokens, token)
        alternatives: Alternatives = ()
        if self.config.logprobs:
            alternatives = alternatives_of(candidates.logits[row] - candidates.normalisers[row], self.config.logprobs)
        return Hypothesis(
            tokens=tokens,
            logprobs=(*parent.logprobs, float(candidates.logits[row][token]) - float(candidates.normalisers[row])),
            alternatives=(*parent.alternatives, alternatives),
            total=total,
            finish_reason=self.ending.reason(self.index, sample, list(tokens)),
        )

    def ordered(self, hypotheses: Sequence[Hypothesis]) -> list[Hypothesis]:
        """Best first."""
        return sorted(hypotheses, key=lambda h: -h.score(self.config.length_penalty))

    def generations(self) -> list[Generation]:
        """The best n hypotheses; unfinished ones count only where the search was cancelled."""
        unfinished = [] if self.done else self.running
        best = self.ordered([*self.finished, *unfinished])[: self.config.n]
        return [self.generation(rank, hypothesis) for rank, hypothesis in enumerate(best)]

    def generation(self, rank: int, hypothesis: Hypothesis) -> Generation:
        """One hypothesis as a result."""
        asked = self.config.logprobs is not None
        return Generation(
            prompt=self.index,
            sample=rank,
            tokens=hypothesis.tokens,
            finish_reason=hypothesis.finish_reason or "cancelled",
            end_token=self.ending.end_token(hypothesis.tokens),
            logprobs=hypothesis.logprobs if asked else None,
            alternatives=hypothesis.alternatives if asked else None,
            prompt_logprobs=self.prompt_logprobs,
            score=hypothesis.score(self.config.length_penalty),
        )


def beam_search(
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
    """The best n sequences of each prompt, best first; fewer where the vocabulary allows no more.

    `memory` has one row per prompt. `stop` is asked about continuations that may yet be dropped, with their rank for a
    sample index, so its answer may depend on nothing but the ids, and so may that of `allowed`. Cancelled, the best so
    far are returned.

    Raises:
        OptionError, ContextWindowError, UnsupportedError, CheckpointError: see `generate.generate`.
    """
    checked = check_prompts(prompts, executor.config, memory)
    searches = [new_search(i, ids, config, special, executor.config, stop, allowed) for i, ids in enumerate(checked)]
    if config.prompt_logprobs or not all(search.done for search in searches):
        run(executor, searches, memory, cancelled, prefill_tokens)
    return [search.generations() for search in searches]


def new_search(
    index: int,
    prompt: list[int],
    config: GenerationConfig,
    special: SpecialTokens,
    model: Architecture,
    stop: Stop,
    allowed: Allowed | None = None,
) -> Search:
    """A search that has not begun; where no token fits it is over already."""
    limit = room(prompt, model, config.max_new_tokens)
    search = Search(
        index=index,
        prompt=prompt,
        config=config,
        rules=rules(config, special, model.vocab_size, allowed=allowed, prompt=index),
        ending=Ending(ends=end_ids(config, special), min_new_tokens=config.min_new_tokens, limit=limit, stop=stop),
    )
    if limit:
        search.running.append(Hypothesis())
    else:
        search.finished.append(Hypothesis(finish_reason="length"))
    return search


def run(
    executor: Executor, searches: list[Search], memory: Memory | None, cancelled: Cancelled, prefill_tokens: int
) -> None:
    """Carry all searches to their ends, or until cancelled. A row of the cache is one unfinished hypothesis."""
    prompts = [search.prompt for search in searches]
    cache = executor.new_cache(len(prompts), max(len(s.prompt) + s.ending.limit for s in searches))
    want = wanted(searches[0].config)
    read = prefill(executor, prompts, cache, memory, want=want, budget=prefill_tokens, cancelled=cancelled)
    if read is None:
        return
    for search in searches:
        search.prompt_logprobs = read.logprobs[search.index]
    active = [search for search in searches if not search.done]
    logits = [read.logits[search.index] for search in active]
    memory = keep_rows([search.index for search in active], cache, memory)
    while active:
        owners = [search.index for search in active for _ in search.running]
        rows = advance(active, logits, executor.threads)
        active = [search for search in active if not search.done]
        if not active or cancelled():
            return
        cache.select(rows)
        if memory is not None and [owners[row] for row in rows] != owners:  # rows of one prompt share its memory
            memory = memory.select(rows)
        outputs = executor.decode([[h.tokens[-1]] for s in active for h in s.running], cache, memory)
        logits = [output[-1] for output in outputs]


def advance(active: list[Search], logits: list[Floats], threads: int) -> list[int]:
    """Take the logits [V] of every row; the rows that continue in the next, in order."""
    rows: list[int] = []
    first = 0
    for search, found in zip(active, candidates(active, logits, threads), strict=True):
        width = len(search.running)
        parents = search.advance(found)
        if not search.done:
            rows += [first + parent for parent in parents]
        first += width
    return rows


def candidates(active: list[Search], logits: list[Floats], threads: int) -> Iterator[Candidates]:
    """For each search, those of its rows; all rows are ranked at once. Searches of one call differ in prompts only."""
    width = active[0].width
    owned = [(search, h) for search in active for h in search.running]
    if active[0].rules.changes:
        ranked = rank_changed(logits, width, [partial(search.processed, h) for search, h in owned])
    else:
        ranked = rank(logits, width, [search.rules.excluded(len(h.tokens)) for search, h in owned], threads)
    first = 0
    for search in active:
        own = slice(first, first + len(search.running))
        yield Candidates(ranked.tokens[own], ranked.scores[own], ranked.normalisers[own], logits[own])
        first = own.stop
