"""`trace.lens`: every picture of a trace by name.

Each method returns a view: it shows itself in a notebook, is printed in a terminal, and has `html`, `png`, `svg` and
`json`. Views are imported when they are asked for, so that running a model costs nothing of this.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from clearhead.config import ModelConfig
from clearhead.trace import Trace
from clearhead.trace.schema import LOGITS, last_stack, places, stacks

if TYPE_CHECKING:
    from clearhead.engine.model import Model
    from clearhead.lens.attention import AttentionView, Drawing, Head
    from clearhead.lens.before_after import ComparisonView
    from clearhead.lens.choices import ChoicesView
    from clearhead.lens.diagram.view import ArchitectureView
    from clearhead.lens.logit_lens import LogitLensView
    from clearhead.lens.positions import Positions
    from clearhead.lens.space import Space
    from clearhead.lens.tokens import TokensView
    from clearhead.lens.view import Board, View
    from clearhead.lens.who import Include, WhoView
    from clearhead.lens.window import ContextWindowView
    from clearhead.lens.words import Word


MOST_WORDS = 256  # tokens that are looked at one by one
FEWEST_POINTS = 4  # tokens that are worth a picture in space
EXCERPT = 60  # characters of a title


def across(path: str, stack: str) -> bool:
    """Whether a module of a stack looks at the encoder's output."""
    return path.startswith(stack) and path.endswith(".cross_attention")


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
        limit: int = 100,
        question: str | None = None,
    ) -> "WhoView":
        """Who has the book? Which heads take a word to which other words; see `clearhead.lens.who.who_view`."""
        from clearhead.lens.who import who_view

        return who_view(
            self.trace, word, target, stack=stack, cross=cross, include=include, limit=limit, question=question
        )

    def tokens(self, stack: str | None = None) -> "TokensView":
        """The text as the model read it."""
        from clearhead.lens.tokens import check_stack, tokens_of_trace

        tokenizer = None if self.source is None else self.source.tokenizer
        return tokens_of_trace(self.trace, check_stack(self.trace, stack), tokenizer)

    def window(self) -> "ContextWindowView":
        """How much of the context window the text takes."""
        from clearhead.lens.window import window_of_trace

        return window_of_trace(self.trace)

    def positions(self, stack: str | None = None) -> "Positions":
        """How the model tells positions apart, with the text's tokens at theirs; needs the model."""
        from clearhead.lens.schemes import position_view
        from clearhead.lens.tokens import check_stack
        from clearhead.lens.weights import weight

        read = check_stack(self.trace, stack)
        labels = self.trace.texts.get(read, [])[:MOST_WORDS]
        of = partial(weight, self.model.checkpoint)
        own = read if self.trace.config.position == "relative" else None  # only these differ by stack
        return position_view(self.trace.config, of, labels=labels, name=self.trace.model, stack=own)

    def space(self, layer: int | None = None, *, stack: str | None = None, method: str = "pca") -> "Space":
        """The tokens of the text as points in space: their embeddings, or what a layer made of them."""
        from clearhead.lens.space import of_trace

        return of_trace(self.trace, layer, stack=stack, method=method)

    def architecture(self, *, simplified: bool = False) -> "ArchitectureView":
        """The model's diagram, each part with its code and its values in this trace."""
        from clearhead.lens.diagram.view import architecture_view

        return architecture_view(self.trace.config, self.trace, name=self.trace.model, simplified=simplified)

    def logit_lens(self, *, top: int = 5) -> "LogitLensView":
        """What each layer would say next; needs the model."""
        from clearhead.lens.logit_lens import logit_lens

        return logit_lens(self.trace, self.source, top=top)

    def choices(self, *, top: int = 10) -> "ChoicesView":
        """Each token among those the model found likely in its place."""
        from clearhead.lens.choices import choices

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
        return [*self.attended(), *self.predictions(), *self.read(), self.architecture()]

    def attended(self) -> "Iterator[View]":
        """Who attends to whom: all heads, and where the last word looks, beside an encoder into its text; of a decoder
        that has said nothing yet, the last of its source."""
        if not self.trace.attentions():
            return
        yield self.attention()
        for stack in reversed(self.trace.stacks()):
            held = any(path.startswith(stack) and ".cross_" not in path for path in self.trace.attentions())
            if held and (word := self.last_word(stack)) is not None:
                yield self.who(word, stack=stack, cross=any(across(path, stack) for path in self.trace.attentions()))
                return

    def predictions(self) -> "Iterator[View]":
        """What the model says, at every layer and in the end."""
        from clearhead.lens.choices import predicted

        config, stack = self.trace.config, last_stack(self.trace.config)
        n_layers = config.n_decoder_layers or config.n_encoder_layers
        layers = {f"{stack}.embed.output", *(f"{stack}.layers.{i}.output" for i in range(n_layers))}
        if self.source is not None and layers <= set(self.trace.paths) and config.head in ("lm", "mlm"):
            yield self.logit_lens()
        if config.n_decoder_layers and predicted(self.trace):
            yield self.choices()

    def read(self) -> "list[View]":
        """What was read: tokens, positions and points in space, of both stacks where there are two."""
        stacks = self.trace.stacks()
        views: list[tuple[str, View]] = [(stack, self.tokens(stack)) for stack in stacks]
        if self.source is not None:
            views += [(stack, self.positions(stack)) for stack in stacks]
        for stack in stacks:
            held, n = f"{stack}.embed.tokens" in self.trace, len(self.trace.ids.get(stack, ()))
            if held and FEWEST_POINTS <= n <= MOST_WORDS:
                views.append((stack, self.space(stack=stack)))
        shown = [view.named(f"{view.tab} ({name})") if len(stacks) > 1 else view for name, view in views]
        return [*shown[: len(stacks)], self.window(), *shown[len(stacks) :]]

    def last_word(self, stack: str | None = None) -> list[int] | None:
        """The tokens of the last word, which has seen the most; none of a text of one word, or a very long one."""
        from clearhead.lens.tokens import check_stack, tokens_in
        from clearhead.lens.words import text_of, words

        tokens = tokens_in(self.trace, check_stack(self.trace, stack))
        seen = self.trace.spans[check_stack(self.trace, stack)].first
        found = [
            word
            for word in words(tokens)
            if not tokens[word[0]].special and any(c.isalnum() for c in text_of(tokens, word)) and word[0] >= seen
        ]
        return found[-1] if len(found) > 1 and len(tokens) <= MOST_WORDS else None

    def excerpt(self) -> str:
        """The beginning of the text that was given."""
        from clearhead.lens.tokens import tokens_in
        from clearhead.lens.words import text_of

        tokens = tokens_in(self.trace, self.trace.stacks()[0])
        given = [i for i, token in enumerate(tokens) if not token.special and not token.generated]
        text = text_of(tokens, given[: 2 * EXCERPT])
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
