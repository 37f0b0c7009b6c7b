"""One sequence as it grows: what it holds, and how its next token is chosen.

A row knows nothing of batches, caches or executors: it is given logits and gives a `Step`. Whoever owns the batch, the
decode loop here or an engine that batches continuously, decides when.

V vocab_size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from clearhead.config import Architecture, GenerationConfig, SpecialTokens
from clearhead.executor import Floats
from clearhead.generation.drawing import choose
from clearhead.generation.ending import Ending, Stop, end_ids
from clearhead.generation.processors import Allowed, Processor, rules
from clearhead.generation.prompts import room
from clearhead.generation.records import Alternatives, FinishReason, Generation, PromptLogprobs, Step
from clearhead.generation.sampling import Scores, fresh_seed, generator_for, logprob_and_alternatives


@dataclass(slots=True, kw_only=True, eq=False)
class Row:
    """One sample of one prompt."""

    index: int  # of the prompt in its batch
    sample: int
    prompt_length: int
    ids: NDArray[np.int64]  # prompt and new tokens, with room for all that may come
    config: GenerationConfig
    process: Processor
    generator: np.random.Generator | None  # none: the likeliest token
    ending: Ending
    seed: int | None
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    alternatives: list[Alternatives] = field(default_factory=list)
    prompt_logprobs: PromptLogprobs | None = None
    finish_reason: FinishReason | None = None
    drafted: int = 0
    accepted: int = 0

    @property
    def length(self) -> int:
        """Prompt and new tokens."""
        return self.prompt_length + len(self.tokens)

    @property
    def history(self) -> NDArray[np.int64]:
        """The ids of prompt and new tokens."""
        return self.ids[: self.length]

    def scores(self, logits: Floats) -> Scores:
        """Logits [V] of the next token, changed as the request asks."""
        return self.process(logits, self.history, self.prompt_length)

    def extend(self, logits: Floats, draft: Sequence[int], first: int) -> Iterator[Step]:
        """Take in `first`, chosen from logits [0], and one more token for each guess that was the token chosen.

        logits [1 + len(draft), V]; logits[j] are those after draft[:j], so they count only while every guess before was
        right.
        """
        self.drafted += len(draft)
        for j, guess in enumerate((*draft, None)):
            step = self.accept(logits[j], first if j == 0 else choose_all([self], [logits[j]])[0])
            right = step.token == guess
            self.accepted += right
            yield step
            if step.finish_reason is not None or not right:
                return

    def accept(self, logits: Floats, token: int) -> Step:
        """Take in the token that was chosen from logits [V].

        Raises:
            CheckpointError: the logits are not numbers.
        """
        logprob = None
        alternatives: Alternatives = ()
        if self.config.logprobs is not None:
            logprob, alternatives = logprob_and_alternatives(logits, token, self.config.logprobs)
            self.logprobs.append(logprob)
            self.alternatives.append(alternatives)
        self.ids[self.length] = token
        self.tokens.append(token)
        self.finish_reason = self.ending.reason(self.index, self.sample, self.tokens)
        return Step(
            prompt=self.index,
            sample=self.sample,
            token=token,
            logprob=logprob,
            alternatives=alternatives,
            finish_reason=self.finish_reason,
            is_end=token in self.ending.ends,
        )

    def generation(self) -> Generation:
        """The sequence as it stands; one that has not finished was cancelled."""
        asked = self.config.logprobs is not None
        return Generation(
            prompt=self.index,
            sample=self.sample,
            tokens=tuple(self.tokens),
            finish_reason=self.finish_reason or "cancelled",
            end_token=self.ending.end_token(self.tokens),
            logprobs=tuple(self.logprobs) if asked else None,
            alternatives=tuple(self.alternatives) if asked else None,
            prompt_logprobs=self.prompt_logprobs,
            seed=self.seed,
            drafted=self.drafted,
            accepted=self.accepted,
        )


def choose_all(rows: Sequence[Row], logits: Sequence[Floats], threads: int = 1) -> list[int]:
    """The next token of each row, from its logits [V]; the rows still have to accept them.

    Raises:
        OptionError: every token is ruled out.
        CheckpointError: the logits are not numbers.
    """
    scores = [row.scores(own) for row, own in zip(rows, logits, strict=True)]
    return choose(scores, [(row.config, row.generator) for row in rows], threads)


def new_rows(
    index: int,
    prompt: Sequence[int],
    config: GenerationConfig,
    special: SpecialTokens,
    model: Architecture,
    stop: Stop,
    allowed: Allowed | None = None,
) -> list[Row]:
    """The n samples of one prompt, whose ids are checked already. Without a seed, the prompt draws one for all of them.

    Raises:
        OptionError: a biased or stopping id outside the vocabulary.
    """
    limit = room(prompt, model, config.max_new_tokens)
    process = rules(config, special, model.vocab_size, allowed=allowed, prompt=index)
    ending = Ending(ends=end_ids(config, special), min_new_tokens=config.min_new_tokens, limit=limit, stop=stop)
    seed = None if config.temperature == 0 else fresh_seed() if config.seed is None else config.seed
    return [
        Row(
            index=index,
            sample=i,
            prompt_length=len(prompt),
            ids=with_room(prompt, limit),
            config=config,
            process=process,
            generator=None if seed is None else generator_for(seed, i),
            ending=ending,
            seed=seed,
            finish_reason=None if limit else "length",
        )
        for i in range(config.n)
    ]


def with_room(prompt: Sequence[int], limit: int) -> NDArray[np.int64]:
    """The prompt's ids with room for `limit` more; the system gives the memory as it is used."""
    ids = np.zeros(len(prompt) + limit, dtype=np.int64)
    ids[: len(prompt)] = prompt
    return ids
