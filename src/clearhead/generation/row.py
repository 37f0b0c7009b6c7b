"""One sequence as it grows: what it holds, and how its next token is chosen.

A row knows nothing of batches, caches or executors: it is given logits and gives a `Step`. Whoever owns the batch, the
decode loop here or an engine that batches continuously, decides when.

V vocab_size.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from clearhead.config import GenerationConfig, ModelConfig, SpecialTokens
from clearhead.executor import Floats
from clearhead.generation.drawing import draw
from clearhead.generation.ending import Ending, Stop, end_ids
from clearhead.generation.processors import Processor, compose, penalties
from clearhead.generation.prompts import room
from clearhead.generation.records import Alternatives, FinishReason, Generation, PromptLogprobs, Step
from clearhead.generation.sampling import (
    Scores,
    fresh_seed,
    generator_for,
    greedy,
    logprob_and_alternatives,
)


@dataclass(slots=True, kw_only=True, eq=False)
class Row:
    """One sample of one prompt."""

    index: int  # of the prompt in its batch
    sample: int
    prompt_length: int
    ids: NDArray[np.int64]  # prompt and new tokens, with room for all that may come
    config: GenerationConfig
    process: Processor
    choose: Callable[[Scores], int]
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

    def extend(self, logits: Floats, draft: Sequence[int]) -> Iterator[Step]:
        """Choose from logits [1 + len(draft), V]: one token, and one more for each guess that was the token chosen.

        logits[j] are those after draft[:j], so they count only while every guess before was right.
        """
        self.drafted += len(draft)
        for scores, guess in zip(logits, (*draft, None), strict=True):
            step = self.accept(scores)
            right = step.token == guess
            self.accepted += right
            yield step
            if step.finish_reason is not None or not right:
                return

    def accept(self, logits: Floats) -> Step:
        """Choose the next token from logits [V] and take it in.

        Raises:
            OptionError: every token is ruled out.
            CheckpointError: the logits are not numbers.
        """
        token = self.choose(self.process(logits, self.history, self.prompt_length))
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


def new_rows(
    index: int, prompt: Sequence[int], config: GenerationConfig, special: SpecialTokens, model: ModelConfig, stop: Stop
) -> list[Row]:
    """The n samples of one prompt, whose ids are checked already. Without a seed, the prompt draws one for all of them.

    Raises:
        OptionError: a biased or stopping id outside the vocabulary.
    """
    limit = room(prompt, model, config.max_new_tokens)
    process = compose(penalties(config, special, model.vocab_size))
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
            choose=greedy if seed is None else partial(draw, config=config, generator=generator_for(seed, i)),
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
