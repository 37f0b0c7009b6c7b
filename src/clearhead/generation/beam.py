"""Beam search: keep the `beams` best unfinished hypotheses of each prompt, and the best `beams` finished ones.

The rules are those of transformers 5, so that its results are reproduced:

- Processors change log-probabilities, not logits, and what they give is summed without normalising again. (Greedy
  decoding changes logits; only a repetition penalty tells the two apart.)
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

import numpy as np

from clearhead.config import GenerationConfig, ModelConfig, SpecialTokens
from clearhead.executor import Executor, Floats, Memory, Tokens
from clearhead.generation.decode import keep_rows
from clearhead.generation.ending import Ending, Stop, end_ids, no_stop
from clearhead.generation.prefill import PREFILL_TOKENS, Cancelled, never, prefill, wanted
from clearhead.generation.processors import Processor, compose, penalties
from clearhead.generation.prompts import check_prompts, room
from clearhead.generation.records import Alternatives, FinishReason, Generation, PromptLogprobs
from clearhead.generation.sampling import Scores, alternatives_of, check_peak, largest, log_softmax


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


@dataclass(slots=True, kw_only=True)
class Search:
    """The search for one prompt."""

    index: int
    prompt: list[int]
    config: GenerationConfig
    process: Processor
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

    def advance(self, logits: list[Floats]) -> list[int]:
        """Take the logits [V] after each unfinished hypothesis; which of them each of the next ones continues."""
        ranked = list(self.continuations(logits))
        going_on = [(row, h) for row, h in ranked if h.finish_reason is None][: self.config.beams]
        self.running = [h for _, h in going_on]
        self.finished += [h for _, h in ranked[: self.config.beams] if h.finish_reason is not None]
        self.finished = self.ordered(self.finished)[: self.config.beams]
        return [row for row, _ in going_on]

    def continuations(self, logits: list[Floats]) -> Iterator[tuple[int, Hypothesis]]:
        """The best continuations by one token of all unfinished hypotheses, best first, with the row each continues."""
        count = max(2, 1 + len(self.ending.ends)) * self.config.beams
        logprobs = [log_softmax(row) for row in logits]
        scores = [self.processed(h, row) for h, row in zip(self.running, logprobs, strict=True)]
        tokens = [largest(row, count) for row in scores]  # no more than these can be among the best of all
        totals = np.stack([h.total + row[ids] for h, row, ids in zip(self.running, scores, tokens, strict=True)])
        check_peak(float(totals.max()))
        for rank, at in enumerate(largest(totals.ravel(), count).tolist()):
            row, place = divmod(at, totals.shape[1])
            if totals[row, place] > -np.inf:
                token, total = int(tokens[row][place]), float(totals[row, place])
                yield row, self.extended(self.running[row], token, logprobs[row], total, rank)

    def processed(self, hypothesis: Hypothesis, logprobs: Scores) -> Scores:
        """Log-probabilities [V] of the token after a hypothesis, changed as the request asks."""
        ids = np.array([*self.prompt, *hypothesis.tokens], dtype=np.int64)
        return self.process(logprobs, ids, len(self.prompt))

    def extended(self, parent: Hypothesis, token: int, logprobs: Scores, total: float, rank: int) -> Hypothesis:
        """A hypothesis and one more token."""
        tokens = (*parent.tokens, token)
        return Hypothesis(
            tokens=tokens,
            logprobs=(*parent.logprobs, float(logprobs[token])),
            alternatives=(*parent.alternatives, alternatives_of(logprobs, self.config.logprobs or 0)),
            total=total,
            finish_reason=self.ending.reason(self.index, rank, list(tokens)),
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
    cancelled: Cancelled = never,
    prefill_tokens: int = PREFILL_TOKENS,
) -> list[list[Generation]]:
    """The best n sequences of each prompt, best first; fewer where the vocabulary allows no more.

    `memory` has one row per prompt. `stop` is asked about continuations that may yet be dropped, with their rank for a
    sample index, so its answer may depend on nothing but the ids. Cancelled, the best so far are returned.

    Raises:
        OptionError, ContextWindowError, UnsupportedError, CheckpointError: see `generate.generate`.
    """
    checked = check_prompts(prompts, executor.config, memory)
    searches = [new_search(i, ids, config, special, executor.config, stop) for i, ids in enumerate(checked)]
    if config.prompt_logprobs or not all(search.done for search in searches):
        run(executor, searches, memory, cancelled, prefill_tokens)
    return [search.generations() for search in searches]


def new_search(
    index: int, prompt: list[int], config: GenerationConfig, special: SpecialTokens, model: ModelConfig, stop: Stop
) -> Search:
    """A search that has not begun; where no token fits it is over already."""
    limit = room(prompt, model, config.max_new_tokens)
    search = Search(
        index=index,
        prompt=prompt,
        config=config,
        process=compose(penalties(config, special, model.vocab_size)),
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
        rows = advance(active, logits)
        active = [search for search in active if not search.done]
        if not active or cancelled():
            return
        cache.select(rows)
        if memory is not None and [owners[row] for row in rows] != owners:  # rows of one prompt share its memory
            memory = memory.select(rows)
        outputs = executor.decode([[h.tokens[-1]] for s in active for h in s.running], cache, memory)
        logits = [output[-1] for output in outputs]


def advance(active: list[Search], logits: list[Floats]) -> list[int]:
    """Take the logits [V] of every row; the rows that continue in the next, in order."""
    rows: list[int] = []
    first = 0
    for search in active:
        width = len(search.running)
        parents = search.advance(logits[first : first + width])
        if not search.done:
            rows += [first + parent for parent in parents]
        first += width
    return rows
