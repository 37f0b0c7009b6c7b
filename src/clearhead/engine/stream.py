"""A completion that is still being written: iterate for its text, then ask for the whole."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from clearhead.config import GenerationConfig
from clearhead.engine.completion import Completion, Timing
from clearhead.engine.context_window import Overflow
from clearhead.engine.prompt import Prompt
from clearhead.engine.stopping import held_back, stop_at
from clearhead.errors import OptionError
from clearhead.executor import Memory
from clearhead.generation.decode import run, start
from clearhead.generation.generate import proposer
from clearhead.generation.prefill import Cancelled
from clearhead.text.streaming import StreamDecoder

if TYPE_CHECKING:
    from clearhead.engine.model import Model


class Stream:
    """Iterate once for the pieces of new text, none of them half a character or part of a stop string.

    `completion` is the whole, once the pieces are used up; closing the stream before ends the work.
    """

    def __init__(
        self,
        model: "Model",
        prompt: Prompt,
        prompts: list[list[int]],
        memory: Memory | None,
        config: GenerationConfig,
        strategy: Overflow,
        cancelled: Cancelled,
    ) -> None:
        if config.n > 1 or config.beams > 1:
            raise OptionError(f"n {config.n} and beams {config.beams} cannot be streamed as one text; use complete")
        self.model, self.prompt, self.config, self.strategy = model, prompt, config, strategy
        self.started = time.perf_counter()
        stop = stop_at(config.stop, model.tokenizer if config.stop else None)
        [self.row] = start(model.executor, prompts, config, model.special, memory=memory, stop=stop)
        self.steps = run(model.executor, [self.row], memory=memory, cancelled=cancelled, propose=proposer(config))
        self.first_token: float | None = None
        self.pieces = self._pieces()

    def __iter__(self) -> Iterator[str]:
        return self.pieces

    def close(self) -> None:
        """Stop generating; `completion` then holds what there is."""
        self.steps.close()  # type: ignore[attr-defined]  # a generator, typed as the iterator it is used as

    @property
    def completion(self) -> Completion:
        """The completion so far, final once the pieces are used up."""
        total = time.perf_counter() - self.started
        timing = Timing(first_token=self.first_token or total, total=total)
        generations = [self.row.generation()]
        return self.model.completion(self.prompt, generations, self.config, self.strategy, timing)

    def _pieces(self) -> Iterator[str]:
        """New text, held back while it may yet become a stop string."""
        decoder = StreamDecoder(self.model.tokenizer, () if self.prompt.separator else self.prompt.ids[-8:])
        stops, waiting, whole = self.config.stop, "", ""
        for step in self.steps:
            self.first_token = self.first_token or time.perf_counter() - self.started
            if step.is_end:
                break
            waiting += decoder.feed(step.token)
            if step.finish_reason == "stop":
                break
            ready = len(waiting) - held_back(waiting, stops)
            whole += waiting[:ready]
            if ready:
                yield waiting[:ready]
            waiting = waiting[ready:]
        waiting += decoder.finish()
        rest = self.completion.new_text[len(whole) :]
        if rest:
            yield rest
