"""One request on its way through a model: from a prepared prompt to a completion, at once or as a stream."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from clearhead.config import GenerationConfig, SpecialTokens
from clearhead.engine.completion import Completion, Sample, Timing, Usage
from clearhead.engine.context_window import Context, Overflow
from clearhead.engine.prompt import Prompt
from clearhead.engine.stopping import NewText, stop_rule
from clearhead.engine.stream import Stream
from clearhead.errors import OptionError
from clearhead.executor import Executor, Memory
from clearhead.generation.decode import run, start
from clearhead.generation.ending import Stop, no_stop
from clearhead.generation.generate import generate, proposer
from clearhead.generation.prefill import Cancelled
from clearhead.generation.prompts import encode_sources
from clearhead.generation.records import Generation
from clearhead.text.streaming import StreamDecoder
from clearhead.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A prompt that fits, what to do with it, and the model to do it."""

    executor: Executor
    tokenizer: Tokenizer
    special: SpecialTokens
    prompt: Prompt
    config: GenerationConfig
    strategy: Overflow

    def complete(self, cancelled: Cancelled) -> Completion:
        """Generate to the end."""
        started = time.perf_counter()
        first: list[float] = []
        prompts, memory = self.inputs()
        text_stop = self.stop()

        def stop(index: int, sample: int, tokens: list[int]) -> bool:
            first.append(time.perf_counter() - started) if not first else None
            return text_stop(index, sample, tokens)

        [samples] = generate(
            self.executor, prompts, self.config, self.special, memory=memory, stop=stop, cancelled=cancelled
        )
        total = time.perf_counter() - started
        return self.completion(samples, Timing(first_token=first[0] if first else total, total=total))

    def stream(self, cancelled: Cancelled) -> Stream:
        """Generate piece by piece.

        Raises:
            OptionError: beams or several samples, which cannot be shown as one growing text.
        """
        config = self.config
        if config.n > 1 or config.beams > 1:
            raise OptionError(f"n {config.n} and beams {config.beams} cannot be streamed as one text; use complete")
        prompts, memory = self.inputs()
        [row] = start(self.executor, prompts, config, self.special, memory=memory, stop=self.stop())
        steps = run(self.executor, [row], memory=memory, cancelled=cancelled, propose=proposer(config))
        return Stream(row, steps, self.new_text(), self.completion)

    def inputs(self) -> tuple[list[list[int]], Memory | None]:
        """What the decoder begins with, and the encoder's memory where there is one."""
        if self.executor.config.kind == "encoder-decoder":
            return encode_sources(self.executor, [self.prompt.ids], self.special)
        return [self.prompt.ids], None

    def stop(self) -> Stop:
        """When the text is over."""
        return stop_rule(self.new_text, beams=self.config.beams) if self.config.stop else no_stop

    def new_text(self) -> NewText:
        """An empty text that will stand after the prompt.

        Where the model reads on, the decoder has read the end of the prompt, so that a first space is kept.
        """
        decoder = StreamDecoder(self.tokenizer)
        for token in () if self.prompt.separator else self.prompt.ids[-8:]:
            decoder.feed(token)
        return NewText(decoder, self.config.stop, exempt=max(0, self.config.min_new_tokens - 1))

    def completion(self, generations: Sequence[Generation], timing: Timing) -> Completion:
        """Sequences of ids as a completion."""
        prompt, written = self.prompt, len(generations[0].tokens)
        decoder_only = self.executor.config.kind == "decoder"
        used, window = written + (len(prompt.ids) if decoder_only else 1), self.executor.config.max_positions
        return Completion(
            prompt=prompt.text,
            sent=prompt.sent,
            separator=prompt.separator,
            samples=tuple(map(self.sample, generations)),
            usage=Usage(prompt_tokens=len(prompt.ids), completion_tokens=sum(len(g.tokens) for g in generations)),
            context=Context(
                window=window, used=used, remaining=window - used, dropped=prompt.dropped, strategy=self.strategy
            ),
            timing=timing,
            seed=self.config.seed if self.config.temperature > 0 else None,
            prompt_logprobs=generations[0].prompt_logprobs,
        )

    def sample(self, generation: Generation) -> Sample:
        """One sequence of ids as text."""
        text = self.new_text()
        for token in generation.text_tokens:
            text.feed(token)
        return Sample(
            new_text=text.finish(),
            tokens=generation.tokens,
            finish_reason=generation.finish_reason,
            logprobs=generation.logprobs,
            alternatives=generation.alternatives,
            score=generation.score,
            drafted=generation.drafted,
            accepted=generation.accepted,
        )
