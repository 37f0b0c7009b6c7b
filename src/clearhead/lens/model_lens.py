"""`model.lens`: pictures of a model by itself, and those that a text makes without a trace.

Each method returns a view: it shows itself in a notebook, is printed in a terminal, and has `html`, `png`, `svg` and
`json`. Views are imported when they are asked for, so that running a model costs nothing of this.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clearhead.engine.completion import Completion
    from clearhead.engine.model import Model
    from clearhead.lens.attributing import Method, Of
    from clearhead.lens.attribution import AttributionView
    from clearhead.lens.diagram.view import ArchitectureView
    from clearhead.lens.influence import InfluenceView
    from clearhead.lens.positions import Positions
    from clearhead.lens.space import Space
    from clearhead.lens.tokens import TokensView
    from clearhead.lens.window import ContextWindowView


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

    def attribution(
        self,
        text: str,
        target: str | int | None = None,
        *,
        said: str | None = None,
        at: int | None = None,
        method: "Method" = "integrated",
        steps: int = 64,
        of: "Of" = "logprob",
        chat: bool = False,
    ) -> "AttributionView":
        """Which tokens of a text brought about the next one, by gradients, on the torch executor; see
        `clearhead.lens.attributing.attribution`."""
        from clearhead.lens.attributing import attribution

        return attribution(self.model, text, target, said=said, at=at, method=method, steps=steps, of=of, chat=chat)

    def influence(
        self,
        text: str,
        *,
        others: "Mapping[str, NDArray[Any]] | None" = None,
        probes: int | None = 2,
        chat: bool = False,
    ) -> "InfluenceView":
        """How far the influence of each word reaches, by gradients, on the torch executor; see
        `clearhead.lens.influencing.influence`."""
        from clearhead.lens.influencing import influence

        return influence(self.model, text, others=others, probes=probes, chat=chat)

    def window(self, completion: "Completion") -> "ContextWindowView":
        """How a completion used the context window."""
        from clearhead.lens.window import window_view

        return window_view(completion)
