"""A model in use: text in, completions, logits, embeddings and traces out.

T tokens, V vocab_size, C d_model.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Unpack, cast

import numpy as np

from clearhead.checkpoints.checkpoint import Checkpoint, Pooling
from clearhead.checkpoints.companions import companions
from clearhead.checkpoints.export import export
from clearhead.config import GenerationConfig, ModelConfig, SpecialTokens
from clearhead.edits import Edit, flat
from clearhead.engine.completion import Completion
from clearhead.engine.context_window import Overflow, prompt_limit
from clearhead.engine.many import complete_all
from clearhead.engine.options import Options, read_options
from clearhead.engine.prompt import Message, Prompt, Prompter
from clearhead.engine.request import Request
from clearhead.engine.stream import Stream
from clearhead.errors import OptionError, TokenizerError, UnsupportedError
from clearhead.executor import Executor, Floats
from clearhead.families.layout import count, layout
from clearhead.generation.continuous import ROWS
from clearhead.generation.fill_mask import Filling, fill_mask
from clearhead.generation.prefill import Cancelled, never
from clearhead.generation.prompts import check_ids, decoder_start
from clearhead.generation.sampling import fresh_seed
from clearhead.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from clearhead.lens.model_lens import ModelLens
    from clearhead.lens.seen import Trace

WRITTEN = 64  # tokens that a decoder beside an encoder writes in a trace, unless asked otherwise
POOLINGS: dict[Pooling, Callable[[Floats], Floats]] = {  # [T, C] -> [C]
    "mean": lambda states: states.mean(axis=0),
    "first": lambda states: states[0],
    "last": lambda states: states[-1],
}


@dataclass(kw_only=True, repr=False)
class Model:
    """One loaded model. Made by `clearhead.load`.

    Every method that takes text raises `TokenizerError` where the checkpoint came without a vocabulary.
    """

    name: str
    executor: Executor
    checkpoint: Checkpoint

    def __repr__(self) -> str:
        """One line, for a notebook: what it is, not what it holds."""
        parameters = count(layout(self.config))
        return (
            f"<{self.name}: {self.config.family} {self.config.kind}, {parameters:,} parameters, {self.executor.name}>"
        )

    @property
    def config(self) -> ModelConfig:
        """The architecture."""
        return cast(ModelConfig, self.executor.config)  # a `RecurrentModel` reads only what its own has too

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
    def lens(self) -> "ModelLens":
        """Pictures of the model by itself: its architecture, positions, words in space."""
        from clearhead.lens.model_lens import ModelLens

        return ModelLens(self)

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
        return self.text_request(prompt, options, system=system, raw=raw, strategy=on_overflow).complete(cancelled)

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
        return self.chat_request(messages, options, strategy=on_overflow).complete(cancelled)

    def complete_many(
        self,
        prompts: Iterable[str | Sequence[Message]],
        *,
        system: str | None = None,
        raw: bool = False,
        on_overflow: Overflow = "error",
        cancelled: Cancelled = never,
        rows: int = ROWS,
        **options: Unpack[Options],
    ) -> Iterator[Completion]:
        """The completions of many prompts, or conversations, in order, `rows` of them under way at a time.

        Each is the one that `complete` (or `chat`) gives; together they take a fraction of the time. Prompts are taken
        as they are needed.

        Raises:
            OptionError, ContextWindowError, UnsupportedError, TemplateError: as `complete` and `chat`, when the prompt
                in question is reached.
        """

        def request(prompt: str | Sequence[Message]) -> Request:
            if isinstance(prompt, str):
                return self.text_request(prompt, options, system=system, raw=raw, strategy=on_overflow)
            return self.chat_request(prompt, options, strategy=on_overflow)

        return complete_all(map(request, prompts), cancelled, rows=rows)

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
        if isinstance(prompt, str):
            request = self.text_request(prompt, options, system=system, raw=raw, strategy=on_overflow)
        else:
            request = self.chat_request(prompt, options, strategy=on_overflow)
        return request.stream(cancelled)

    def fill(self, text: str, *, top: int = 5) -> list[Filling]:
        """The likeliest tokens for every mask of `text`, spelled as the vocabulary spells it (`[MASK]`).

        Raises:
            UnsupportedError: the model was not made to fill masks.
            OptionError: a text without a mask.
        """
        return fill_mask(self.executor, [self.tokenizer.encode(text)], self.special, top=top)[0]

    def embed(self, texts: str | Sequence[str]) -> Floats:
        """One unit vector per text [n, C], pooled from an encoder's states as the checkpoint says; [1, C] for one text.

        By default it is their mean (Reimers and Gurevych 2019, 1908.10084).

        Raises:
            UnsupportedError: the model is not an encoder.
            ContextWindowError: a text that does not fit.
        """
        if self.config.kind != "encoder":
            raise UnsupportedError(f"{self.name} is a {self.config.kind}; embeddings of texts come from an encoder")
        several = [texts] if isinstance(texts, str) else texts
        rows = [check_ids(self.tokenizer.encode(text), self.config, "text") for text in several]
        pool = POOLINGS[self.checkpoint.pooling]
        vectors = [pool(states) for states in self.executor.encode(rows).states]
        return np.stack([vector / max(float(np.linalg.norm(vector)), 1e-12) for vector in vectors])

    def logits(self, tokens: Sequence[int], decoder_tokens: Sequence[int] | None = None) -> Floats:
        """Logits [T, V] at every token; of `decoder_tokens` where an encoder reads `tokens`.

        Raises:
            OptionError: an id outside the vocabulary, or decoder tokens missing or out of place.
            ContextWindowError: too many tokens.
        """
        return self.forward(tokens, decoder_tokens)

    def trace(
        self,
        text: str,
        *,
        target: str | None = None,
        max_new_tokens: int | None = None,
        layers: Sequence[int] | None = None,
        heads: Sequence[int] | None = None,
        kinds: Sequence[str] | None = None,
        edits: Edit | Sequence[Edit | Sequence[Edit]] = (),
        chat: bool = False,
        budget: int | None = None,
        spill: str | Path | None = None,
    ) -> "Trace":
        """What reading `text` and writing `max_new_tokens` more (greedily) shows of itself: one array per place.

        Every token is seen, those that were written too. Without a number a decoder writes nothing, and one beside an
        encoder what it has to say (at most 64 tokens) unless `target` says it. `layers`, `heads` (both may count from
        the end) and `kinds` choose what is kept; `clearhead.trace.schema` names all places. `edits` change what is
        computed meanwhile (`clearhead.edits`); one of attention weights takes the memory of all heads' of a layer.
        `chat` puts the chat template around the text, as `complete` does. A trace of more than `budget` bytes (half of
        the free memory) is refused; with `spill`, a file to be written, it goes there instead.

        Raises:
            ContextWindowError: text and new tokens do not fit.
            OptionError: a layer, head, kind or place that the model lacks, or a target without an encoder.
            TraceBudgetError: a trace larger than its budget.
        """
        from clearhead.engine.tracing import Reading, TraceOptions, check_target, trace_text

        check_target(target, self.config)
        if self.config.kind == "encoder" and (max_new_tokens or chat):
            raise OptionError(f"{self.name} is an encoder and writes no text; leave out max_new_tokens and chat")
        if chat:
            prompt = self.prompter.text(text, system=None, raw=False, limit=sys.maxsize, strategy="error").ids
        else:
            prompt = self.tokenizer.encode(text)
        ids = check_ids(prompt, self.config, "text")
        speaks = self.config.kind == "encoder-decoder" and target is None
        new = (
            (min(WRITTEN, self.config.max_positions - 1) if speaks else 0) if max_new_tokens is None else max_new_tokens
        )
        generation = GenerationConfig(max_new_tokens=new) if new else None
        if self.config.kind == "encoder":
            read = Reading(encoder=ids)
        elif self.config.kind == "decoder":
            read = Reading(decoder=ids, generation=generation)
        else:
            said = self.tokenizer.encode_target(target) if target is not None else []
            read = Reading(encoder=ids, decoder=[decoder_start(self.special), *said], generation=generation)
        look = TraceOptions(layers=layers, heads=heads, kinds=kinds, edits=flat(edits), budget=budget, spill=spill)
        trace = trace_text(self.executor, self.tokenizer, self.special, read, look, self.name)
        trace.source = self
        return trace

    def save(self, folder: str | Path, *, dtype: str = "float32") -> None:
        """Write a new folder in Hugging Face layout, which transformers loads with equal logits; dtype "int8" makes
        one of a quarter of the size, which only Clearhead reads.

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
            pooling=self.checkpoint.pooling,
            beside=companions(self.checkpoint),
        )

    def text_request(
        self, text: str, options: Options, *, system: str | None = None, raw: bool = False, strategy: Overflow = "error"
    ) -> Request:
        """A text to complete, checked and fitted to the window, but not begun; errors as `complete`."""
        config = self.generation_config(options)
        limit = self.prompt_limit(config, strategy)
        prompt = self.prompter.text(text, system=system, raw=raw, limit=limit, strategy=strategy)
        return self.request(prompt, config, strategy)

    def chat_request(self, messages: Sequence[Message], options: Options, *, strategy: Overflow = "error") -> Request:
        """A conversation to go on with, checked and fitted to the window, but not begun; errors as `chat`."""
        config = self.generation_config(options)
        prompt = self.prompter.chat(messages, limit=self.prompt_limit(config, strategy), strategy=strategy)
        return self.request(prompt, config, strategy)

    def request(self, prompt: Prompt, config: GenerationConfig, strategy: Overflow) -> Request:
        """What this model is to do with a prompt."""
        return Request(
            executor=self.executor,
            tokenizer=self.tokenizer,
            special=self.special,
            prompt=prompt,
            config=config,
            strategy=strategy,
        )

    def generation_config(self, options: Options) -> GenerationConfig:
        """The checked options of a model that can write, with a seed where it draws and none was given."""
        if self.config.kind == "encoder":
            raise UnsupportedError(f"{self.name} is an encoder and writes no text; use it to embed texts or fill masks")
        config = read_options(options)
        return replace(config, seed=fresh_seed()) if config.temperature > 0 and config.seed is None else config

    def prompt_limit(self, config: GenerationConfig, strategy: Overflow) -> int:
        """Tokens a prompt may take: an encoder has a window of its own, a decoder shares its with the new text."""
        shared = self.config.kind == "decoder"
        return prompt_limit(self.config.max_positions, config.max_new_tokens if shared else 0, strategy)

    def forward(self, tokens: Sequence[int], decoder_tokens: Sequence[int] | None) -> Floats:
        """One pass without a cache."""
        ids = check_ids(tokens, self.config, "tokens")
        both = self.config.kind == "encoder-decoder"
        if (decoder_tokens is not None) != both:
            raise OptionError(f"decoder_tokens are {'needed by' if both else 'out of place in'} a {self.config.kind}")
        if self.config.kind == "decoder":
            return self.executor.decode([ids], want="all")[0]
        memory = self.executor.encode([ids])
        if self.config.kind == "encoder":
            return memory.states[0] if self.config.head == "none" else self.executor.head(memory)[0]
        target = check_ids(decoder_tokens or [], self.config, "decoder_tokens")
        return self.executor.decode([target], memory=memory, want="all")[0]
