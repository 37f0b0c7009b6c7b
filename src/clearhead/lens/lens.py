"""`trace.lens` and `model.lens`: every picture by name.

Each method returns a view: it shows itself in a notebook, is printed in a terminal, and has `html`, `png`, `svg` and
`json`. Views are imported when they are asked for, so that running a model costs nothing of this.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from clearhead.config import ModelConfig
from clearhead.trace import Trace
from clearhead.trace.schema import LOGITS, last_stack, places, stacks

if TYPE_CHECKING:
    from clearhead.engine.completion import Completion
    from clearhead.engine.model import Model
    from clearhead.lens.attention import AttentionView, Drawing, Head
    from clearhead.lens.attribution import AttributionView
    from clearhead.lens.before_after import ComparisonView
    from clearhead.lens.diagram.view import ArchitectureView
    from clearhead.lens.influence import InfluenceView
    from clearhead.lens.logits import ChoicesView, LogitLensView
    from clearhead.lens.positions import Positions
    from clearhead.lens.space import Space
    from clearhead.lens.tokens import TokensView
    from clearhead.lens.view import Board, View
    from clearhead.lens.who import Include, WhoView
    from clearhead.lens.window import ContextWindowView
    from clearhead.lens.words import Word
    from clearhead.trace.schema import StackName


@dataclass(frozen=True, slots=True)
class Lens:
    """Pictures of one trace."""

    trace: Trace
    source: Any = None  # the model, where it is at hand

    def attention(
        self,
        layer: int | None = None,
        head: int | None = None,
        *,
        module: str | None = None,
        full: "Sequence[Head] | None" = None,
        drawing: "Drawing" = "matrix",
    ) -> "AttentionView":
        """Who looks at whom: one head's attention map, or without `layer` and `head` all of them at a glance; see
        `clearhead.lens.attention.attention_view`."""
        from clearhead.lens.attention import attention_view

        return attention_view(self.trace, layer, head, module, full, drawing)

    def who(
        self,
        word: "Word",
        target: "Word | None" = None,
        *,
        stack: str | None = None,
        cross: bool = False,
        include: "Collection[Include]" = (),
        question: str | None = None,
    ) -> "WhoView":
        """Who has the book? Which heads take a word to which other words; see `clearhead.lens.who.who_view`."""
        from clearhead.lens.who import who_view

        return who_view(self.trace, word, target, stack=stack, cross=cross, include=include, question=question)

    def tokens(self, stack: str | None = None) -> "TokensView":
        """The text as the model read it."""
        from clearhead.lens.tokens import tokens_of_trace

        tokenizer = None if self.source is None else self.source.tokenizer
        return tokens_of_trace(self.trace, stack or last_stack(self.trace.config), tokenizer)

    def window(self) -> "ContextWindowView":
        """How much of the context window the text takes."""
        from clearhead.lens.window import ContextWindowView

        used = len(self.trace.tokens)
        new = used - self.trace.n_prompt if self.trace.config.n_decoder_layers else 0
        return ContextWindowView(window=self.trace.config.max_positions, used=used, generated=new, dropped=0)

    def positions(self, stack: str | None = None) -> "Positions":
        """How the model tells positions apart, with the text's tokens at theirs; needs the model."""
        from clearhead.lens.schemes import position_view
        from clearhead.lens.weights import weight

        read = stack or last_stack(self.trace.config)
        labels = self.trace.texts.get(read, [])[:256]
        of = partial(weight, self.model.checkpoint)
        own = read if self.trace.config.position == "relative" else None  # only these differ by stack
        return position_view(self.trace.config, of, labels=labels, name=self.trace.model, stack=own)

    def space(self, layer: int | None = None, *, stack: "StackName | None" = None, method: str = "pca") -> "Space":
        """The tokens of the text as points in space: their embeddings, or what a layer made of them."""
        from clearhead.lens.space import of_trace

        return of_trace(self.trace, layer, stack=stack or last_stack(self.trace.config), method=method)

    def architecture(self, *, simplified: bool = False) -> "ArchitectureView":
        """The model's diagram, each part with its code and its values in this trace."""
        from clearhead.lens.diagram.view import architecture_view

        return architecture_view(self.trace.config, self.trace, name=self.trace.model, simplified=simplified)

    def logit_lens(self, *, top: int = 5) -> "LogitLensView":
        """What each layer would say next; needs the model."""
        from clearhead.lens.logits import logit_lens

        return logit_lens(self.trace, self.source, top=top)

    def choices(self, *, top: int = 10) -> "ChoicesView":
        """Each token among those the model found likely in its place."""
        from clearhead.lens.logits import choices

        return choices(self.trace, self.source, top=top)

    def before_after(self, after: Trace, edits: Sequence[Any] = ()) -> "ComparisonView":
        """This run beside another one, such as with `edits`: what each found likely, and where they part."""
        from clearhead.lens.before_after import before_after

        return before_after(self.trace, after, edits)

    def page(self) -> "Board":
        """Everything that this trace can show, on one page."""
        from clearhead.lens.view import Board

        return Board(self.views(), f"{self.trace.model}: {self.excerpt()}")

    def views(self) -> "list[View]":
        """The views of the page, those first that people look at first."""
        trace, held = self.trace, self.trace.paths
        stack = last_stack(trace.config)
        shown: list[View] = []
        if trace.attentions():
            shown.append(self.attention())
            if len(trace.tokens) <= MOST_WORDS and (word := self.last_word()) is not None:
                shown.append(self.who(word, stack=stack))
        n_layers = trace.config.n_decoder_layers or trace.config.n_encoder_layers
        layers = [f"{stack}.embed.output", *(f"{stack}.layers.{i}.output" for i in range(n_layers))]
        if self.source is not None and set(layers) <= set(held) and trace.config.head in ("lm", "mlm"):
            shown.append(self.logit_lens())
        if LOGITS in held and trace.config.n_decoder_layers:
            shown.append(self.choices())
        shown += [self.tokens(stack), self.window()]
        if self.source is not None:
            shown.append(self.positions())
        if f"{stack}.embed.tokens" in held and 3 < len(trace.tokens) <= MOST_WORDS:
            shown.append(self.space())
        return [*shown, self.architecture()]

    def last_word(self) -> int | None:
        """The index of the last token that is a word, which has seen the most."""
        stack = last_stack(self.trace.config)
        rows = zip(self.trace.texts[stack], self.trace.special[stack], strict=True)
        words = [i for i, (text, special) in enumerate(rows) if not special and any(c.isalnum() for c in text)]
        return words[-1] if len(words) > 1 else None

    def excerpt(self) -> str:
        """The beginning of the text that was given."""
        stack = "encoder" if "encoder" in self.trace.texts else "decoder"
        given = None if stack == "encoder" else self.trace.n_prompt
        rows = zip(self.trace.texts.get(stack, [])[:given], self.trace.special.get(stack, [])[:given], strict=True)
        text = "".join(text for text, special in rows if not special).strip()
        return text if len(text) <= EXCERPT else text[: EXCERPT - 1] + "…"

    @property
    def model(self) -> "Model":
        """The model that was traced.

        Raises:
            OptionError: a trace that was loaded without its model.
        """
        from clearhead.errors import OptionError

        if self.source is None:
            raise OptionError("this view needs the model: ch.Trace.load(file, model=ch.load(name))")
        model: Model = self.source
        return model


def page_kinds(config: ModelConfig) -> list[str]:
    """The places that a page shows something of; the rest would only take memory."""
    every = [place.path for stack in stacks(config) for place in places(config, stack)]
    layers = [
        path
        for path in every
        if re.fullmatch(r"(?:en|de)coder\.(?:embed\.tokens|embed\.output|layers\.\d+\.output)", path)
    ]
    return ["weights", *layers, *([LOGITS] if LOGITS in every else [])]


MOST_WORDS = 256  # tokens that are looked at one by one
EXCERPT = 60  # characters of a title


@dataclass(frozen=True, slots=True)
class ModelLens:
    """Pictures of a model by itself, and those that a text makes without a trace."""

    model: "Model"

    def architecture(self, *, simplified: bool = False) -> "ArchitectureView":
        """The diagram of the model, each part with its shapes, parameters and code."""
        from clearhead.lens.diagram.view import architecture_view

        return architecture_view(self.model.config, name=self.model.name, simplified=simplified)

    def tokens(self, text: str) -> "TokensView":
        """A text as the model's vocabulary cuts it."""
        from clearhead.lens.tokens import tokens_view

        return tokens_view(self.model, text)

    def positions(self, text: str | None = None, *, stack: str | None = None) -> "Positions":
        """How the model tells positions apart, with the tokens of a text at theirs."""
        from clearhead.lens.schemes import position_view
        from clearhead.lens.weights import weight

        labels = None if text is None else [piece.shown for piece in self.tokens(text).pieces]
        of = partial(weight, self.model.checkpoint)
        return position_view(self.model.config, of, labels=labels, name=self.model.name, stack=stack)

    def space(
        self,
        words: Sequence[str],
        layer: int | None = None,
        *,
        method: str = "pca",
        top: int = 10,
        analogies: Sequence[tuple[str, str, str]] = (),
    ) -> "Space":
        """Words as points in space, with their neighbours among all the model knows, and analogies."""
        from clearhead.lens.neighbours import embedding_space

        return embedding_space(self.model, words, layer, method=method, top=top, analogies=analogies)

    def attribution(self, text: str, target: str | None = None, **options: Any) -> "AttributionView":
        """Which tokens of a text brought about the next one, by gradients; on the torch executor."""
        from clearhead.lens.gradients import attribution

        return attribution(self.model, text, target, **options)

    def influence(self, text: str) -> "InfluenceView":
        """How far the influence of each word reaches, by gradients; on the torch executor."""
        from clearhead.lens.gradients import influence

        return influence(self.model, text)

    def window(self, completion: "Completion") -> "ContextWindowView":
        """How a completion used the context window."""
        from clearhead.lens.window import window_view

        return window_view(completion)
