"""A model in use: text in, completions, logits, embeddings and traces out.

T tokens, V vocab_size, C d_model.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Unpack

import numpy as np

from clearhead.checkpoints.checkpoint import Checkpoint
from clearhead.checkpoints.export import export
from clearhead.config import GenerationConfig, ModelConfig, SpecialTokens
from clearhead.engine.completion import Completion, Sample, Timing, Usage
from clearhead.engine.context_window import Context, Overflow, prompt_limit
from clearhead.engine.options import Options, request
from clearhead.engine.prompt import Message, Prompt, Prompter
from clearhead.engine.stopping import cut, stop_at
from clearhead.engine.stream import Stream, decoder_after
from clearhead.errors import ContextWindowError, OptionError, TokenizerError, UnsupportedError
from clearhead.executor import Executor, Floats, Memory
from clearhead.generation.decode import run, start
from clearhead.generation.fill_mask import Filling, fill_mask
from clearhead.generation.generate import generate, proposer
from clearhead.generation.prefill import Cancelled, never
from clearhead.generation.prompts import check_ids, encode_sources
from clearhead.generation.records import Generation
from clearhead.generation.sampling import fresh_seed
from clearhead.text.tokenizer import Tokenizer
from clearhead.trace import Trace


@dataclass(kw_only=True)
class Model:
    """One loaded model. Made by `clearhead.load`.

    Every method that takes text raises `TokenizerError` where the checkpoint came without a vocabulary.
    """

    name: str
    executor: Executor
    checkpoint: Checkpoint

    @property
    def config(self) -> ModelConfig:
        """The architecture."""
        return self.executor.config

    @property
    def special(self) -> SpecialTokens:
        """The ids that steer generation."""
        return self.checkpoint.special

    @property
    def chat_template(self) -> str | None:
        """The template around a conversation, for an instruction model."""
        return self.checkpoint.chat_template

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The vocabulary, read when first needed."""
        if self.checkpoint.tokenizer is None:
            raise TokenizerError(f"{self.name} came without a vocabulary; it can be given token ids, but no text")
        return self.checkpoint.tokenizer()

    @property
    def prompter(self) -> Prompter:
        """Text and conversations to ids."""
        return Prompter(config=self.config, tokenizer=self.tokenizer, special=self.special, template=self.chat_template)

    def complete(
        self,
        prompt: str,
        *,
        system: str | None = None,
        raw: bool = False,
        on_overflow: Overflow = "error",
        cancelled: Cancelled = never,
        **options: Unpack[Options],
    ) -> Completion:
        """The prompt followed by what the model makes of it.

        An instruction model gets its chat template around the prompt unless `raw`. Options are those of
        `GenerationConfig`. `cancelled` is asked before every token.

        Raises:
            OptionError: an empty prompt or an impossible option.
            ContextWindowError: the prompt does not fit and `on_overflow` is "error".
            UnsupportedError: the model has no decoder.
        """
        config = self.request(options)
        return self.finish(self.prepare(prompt, config, system, raw, on_overflow), config, on_overflow, cancelled)

    def chat(
        self,
        messages: Sequence[Message],
        *,
        on_overflow: Overflow = "error",
        cancelled: Cancelled = never,
        **options: Unpack[Options],
    ) -> Completion:
        """The assistant's next message; each message is `{"role": ..., "content": ...}`.

        Raises:
            UnsupportedError: the model has no chat template.
            TemplateError: messages that the template refuses.
            OptionError, ContextWindowError: see `complete`.
        """
        config = self.request(options)
        return self.finish(self.prepare_chat(messages, config, on_overflow), config, on_overflow, cancelled)

    def stream(
        self,
        prompt: str | Sequence[Message],
        *,
        system: str | None = None,
        raw: bool = False,
        on_overflow: Overflow = "error",
        cancelled: Cancelled = never,
        **options: Unpack[Options],
    ) -> Stream:
        """The pieces of the new text as they come, of a prompt or of a conversation; `stream.completion` at the end.

        Raises:
            OptionError: see `complete`; also beams or several samples, which cannot be shown as one growing text.
            ContextWindowError, UnsupportedError, TemplateError: see `complete` and `chat`.
        """
        config = self.request(options)
        if isinstance(prompt, str):
            prepared = self.prepare(prompt, config, system, raw, on_overflow)
        else:
            prepared = self.prepare_chat(prompt, config, on_overflow)
        if config.n > 1 or config.beams > 1:
            raise OptionError(f"n {config.n} and beams {config.beams} cannot be streamed as one text; use complete")
        prompts, memory = self.inputs(prepared)
        stop = stop_at(config.stop, self.tokenizer if config.stop else None)
        rows = start(self.executor, prompts, config, self.special, memory=memory, stop=stop)
        steps = run(self.executor, rows, memory=memory, cancelled=cancelled, propose=proposer(config))
        return Stream(
            rows[0],
            steps,
            decoder_after(self.tokenizer, read_on(prepared)),
            lambda generations, timing: self.completion(prepared, generations, config, on_overflow, timing),
        )

    def fill(self, text: str, *, top: int = 5) -> list[Filling]:
        """The likeliest tokens for every mask of `text`, spelled as the vocabulary spells it (`[MASK]`).

        Raises:
            UnsupportedError: the model was not made to fill masks.
            OptionError: a text without a mask.
        """
        return fill_mask(self.executor, [self.tokenizer.encode(text)], self.special, top=top)[0]

    def embed(self, texts: Sequence[str]) -> Floats:
        """One unit vector per text [n, C]: the mean of an encoder's states (Reimers and Gurevych 2019, 1908.10084).

        Raises:
            UnsupportedError: the model is not an encoder.
            ContextWindowError: a text that does not fit.
        """
        if self.config.kind != "encoder":
            raise UnsupportedError(f"{self.name} is a {self.config.kind}; embeddings of texts come from an encoder")
        rows = [check_ids(self.tokenizer.encode(text), self.config, "text") for text in texts]
        means = [states.mean(axis=0) for states in self.executor.encode(rows).states]
        return np.stack([mean / max(float(np.linalg.norm(mean)), 1e-12) for mean in means])

    def logits(self, tokens: Sequence[int], decoder_tokens: Sequence[int] | None = None) -> Floats:
        """Logits [T, V] at every token; of `decoder_tokens` where an encoder reads `tokens`.

        Raises:
            OptionError: an id outside the vocabulary, or decoder tokens missing or out of place.
            ContextWindowError: too many tokens.
        """
        return self.forward(tokens, decoder_tokens, None)

    def trace(
        self,
        text: str,
        *,
        target: str | None = None,
        max_new_tokens: int = 0,
        layers: Sequence[int] | None = None,
        heads: Sequence[int] | None = None,
        kinds: Sequence[str] | None = None,
    ) -> Trace:
        """What one pass over `text` shows of itself, with `max_new_tokens` generated greedily and traced as well.

        Where an encoder reads `text`, `target` is what the decoder is given to say; without it, what it says itself.

        Raises:
            ContextWindowError: text and new tokens do not fit.
            OptionError: a layer or head that the model lacks, an unknown kind, or a target without an encoder.
        """
        if target is not None and self.config.kind != "encoder-decoder":
            raise OptionError(f"target is for a model that reads one text and writes another, not {self.config.kind}s")
        tokens = check_ids(self.tokenizer.encode(text), self.config, "text")
        trace = Trace(layers=layers, heads=heads, kinds=kinds)
        decoder_tokens: list[int] | None = None
        if self.config.kind == "encoder-decoder":
            [prompt], memory = encode_sources(self.executor, [tokens], self.special)
            said = self.tokenizer.encode_target(target) if target is not None else []
            decoder_tokens = [*prompt, *said]
            trace.memory_tokens, trace.memory_pieces = tokens, self.tokenizer.pieces(tokens)
            decoder_tokens += self.continuation(decoder_tokens, memory, max_new_tokens)
        elif self.config.kind == "decoder":
            tokens = tokens + self.continuation(tokens, None, max_new_tokens)
        trace.tokens = tokens if decoder_tokens is None else decoder_tokens
        trace.pieces = self.tokenizer.pieces(trace.tokens)
        self.forward(tokens, decoder_tokens, trace)
        return trace

    def save(self, folder: str | Path, *, dtype: str = "float32") -> None:
        """Write a new folder in Hugging Face layout, which transformers loads with equal logits.

        Raises:
            CheckpointError: the folder exists and is not empty.
            ConfigError: the family's config.json cannot express this model.
        """
        export(
            Path(folder),
            self.config,
            self.checkpoint.weights(),
            dtype=dtype,
            special=self.special,
            tokenizer=None if self.checkpoint.tokenizer is None else self.tokenizer,
            chat_template=self.chat_template,
        )

    def request(self, options: Options) -> GenerationConfig:
        """The checked request, with a seed of its own where it draws and none was given."""
        config = request(options)
        return replace(config, seed=fresh_seed()) if config.temperature > 0 and config.seed is None else config

    def prepare(self, text: str, config: GenerationConfig, system: str | None, raw: bool, strategy: Overflow) -> Prompt:
        """The prompt of a text, fitted to the window."""
        self.check_decoder()
        limit = self.limit(config, strategy)
        return self.prompter.text(text, system=system, raw=raw, limit=limit, strategy=strategy)

    def prepare_chat(self, messages: Sequence[Message], config: GenerationConfig, strategy: Overflow) -> Prompt:
        """The prompt of a conversation, fitted to the window."""
        self.check_decoder()
        return self.prompter.chat(messages, limit=self.limit(config, strategy), strategy=strategy)

    def limit(self, config: GenerationConfig, strategy: Overflow) -> int:
        """Tokens a prompt may take: an encoder has a window of its own, a decoder shares its with the new text."""
        shared = self.config.kind == "decoder"
        return prompt_limit(self.config.max_positions, config.max_new_tokens if shared else 0, strategy)

    def check_decoder(self) -> None:
        """Refuse to generate with an encoder alone."""
        if self.config.kind == "encoder":
            raise UnsupportedError(f"{self.name} is an encoder and writes no text; use it to embed texts or fill masks")

    def inputs(self, prompt: Prompt) -> tuple[list[list[int]], Memory | None]:
        """What the decoder begins with, and the encoder's memory where there is one."""
        if self.config.kind == "encoder-decoder":
            return encode_sources(self.executor, [prompt.ids], self.special)
        return [prompt.ids], None

    def finish(self, prompt: Prompt, config: GenerationConfig, strategy: Overflow, cancelled: Cancelled) -> Completion:
        """Generate to the end."""
        started = time.perf_counter()
        first: list[float] = []
        prompts, memory = self.inputs(prompt)
        text_stop = stop_at(config.stop, self.tokenizer if config.stop else None)

        def stop(index: int, sample: int, tokens: list[int]) -> bool:
            first.append(time.perf_counter() - started) if not first else None
            return text_stop(index, sample, tokens)

        [samples] = generate(
            self.executor, prompts, config, self.special, memory=memory, stop=stop, cancelled=cancelled
        )
        total = time.perf_counter() - started
        timing = Timing(first_token=first[0] if first else total, total=total)
        return self.completion(prompt, samples, config, strategy, timing)

    def completion(
        self,
        prompt: Prompt,
        generations: Sequence[Generation],
        config: GenerationConfig,
        strategy: Overflow,
        timing: Timing,
    ) -> Completion:
        """Sequences of ids as a completion."""
        written = len(generations[0].tokens)
        used = written + (len(prompt.ids) if self.config.kind == "decoder" else 1)
        window = self.config.max_positions
        return Completion(
            prompt=prompt.text,
            sent=prompt.sent,
            separator=prompt.separator,
            samples=tuple(self.sample(prompt, generation, config) for generation in generations),
            usage=Usage(prompt_tokens=len(prompt.ids), completion_tokens=sum(len(g.tokens) for g in generations)),
            context=Context(
                window=window, used=used, remaining=window - used, dropped=prompt.dropped, strategy=strategy
            ),
            timing=timing,
            seed=config.seed if config.temperature > 0 else None,
            prompt_logprobs=generations[0].prompt_logprobs,
        )

    def sample(self, prompt: Prompt, generation: Generation, config: GenerationConfig) -> Sample:
        """One sequence of ids as text."""
        return Sample(
            new_text=cut(self.new_text(prompt, generation.text_tokens), config.stop),
            tokens=generation.tokens,
            finish_reason=generation.finish_reason,
            logprobs=generation.logprobs,
            alternatives=generation.alternatives,
            score=generation.score,
            drafted=generation.drafted,
            accepted=generation.accepted,
        )

    def new_text(self, prompt: Prompt, tokens: Sequence[int]) -> str:
        """The text of new tokens, as it stands after the prompt."""
        decoder = decoder_after(self.tokenizer, read_on(prompt))
        return "".join(decoder.feed(token) for token in tokens) + decoder.finish()

    def continuation(self, tokens: Sequence[int], memory: Memory | None, max_new_tokens: int) -> list[int]:
        """What the model says next, greedily."""
        if max_new_tokens == 0:
            return []
        config = GenerationConfig(max_new_tokens=max_new_tokens)
        if len(tokens) + max_new_tokens > self.config.max_positions:
            raise ContextWindowError(
                f"{len(tokens)} tokens and {max_new_tokens} new ones do not fit the context window of "
                f"{self.config.max_positions}; ask for at most {max(0, self.config.max_positions - len(tokens))}"
            )
        [[done]] = generate(self.executor, [list(tokens)], config, self.special, memory=memory)
        return list(done.tokens)

    def forward(self, tokens: Sequence[int], decoder_tokens: Sequence[int] | None, trace: Trace | None) -> Floats:
        """One pass without a cache."""
        ids = check_ids(tokens, self.config, "tokens")
        both = self.config.kind == "encoder-decoder"
        if (decoder_tokens is not None) != both:
            raise OptionError(f"decoder_tokens are {'needed by' if both else 'out of place in'} a {self.config.kind}")
        if self.config.kind == "decoder":
            return self.executor.decode([ids], want="all", trace=trace)[0]
        memory = self.executor.encode([ids], trace=trace)
        if self.config.kind == "encoder":
            return memory.states[0] if self.config.head == "none" else self.executor.head(memory, trace)[0]
        target = check_ids(decoder_tokens or [], self.config, "decoder_tokens")
        return self.executor.decode([target], memory=memory, want="all", trace=trace)[0]


def read_on(prompt: Prompt) -> list[int]:
    """The last ids of a prompt that the new text continues, enough to tell whether a word begins; none of any other."""
    return [] if prompt.separator else prompt.ids[-8:]
