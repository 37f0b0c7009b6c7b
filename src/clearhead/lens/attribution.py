"""Attribution: how much each token of the input spoke for, or against, one token of the output.

The scores come from elsewhere (integrated gradients, attention rollout, an ablation); this shows them. T tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from clearhead.errors import OptionError
from clearhead.lens.colours import AGAINST, FOR, SIGNED
from clearhead.lens.payload import Payload, Token
from clearhead.lens.terminal import bar, fit, ink_on, ramp, table
from clearhead.lens.view import WIDTH, View
from clearhead.lens.words import label
from clearhead.text.printable import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_LISTED, MOST_DRAWN = 20, 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """The output token that the scores explain."""

    text: str
    id: int
    probability: float


@dataclass(kw_only=True, repr=False)
class AttributionView(View):
    """One score per token; above 0 it spoke for the target, below 0 against it.

    Raises:
        OptionError: not one score for each token, or one that is no number.
    """

    type: ClassVar[str] = "attribution"
    height: ClassVar[int] = 360

    scores: NDArray[Any]  # [T]
    tokens: Sequence[Token]
    target: Target
    method: str
    note: str = ""

    def __post_init__(self) -> None:
        if self.scores.shape != (len(self.tokens),):
            raise OptionError(f"the scores are {self.scores.shape}; {len(self.tokens)} tokens need one each")
        if not np.isfinite(self.scores).all():
            raise OptionError("a score is no finite number")

    @property
    def title(self) -> str:  # type: ignore[override]
        """What is explained, and how."""
        return f'What led to "{one_line(self.target.text).strip()}" ({one_line(self.method)})'

    def largest(self, count: int) -> list[int]:
        """The tokens with the largest scores of either sign, in the order of the text."""
        order = np.lexsort((np.arange(len(self.scores)), -np.abs(self.scores)))
        return sorted(order[:count].tolist())

    @property
    def figures(self) -> dict[str, Any]:
        """The score of every token."""
        return {
            "type": self.type,
            "title": self.title,
            "target": {
                "text": one_line(self.target.text),
                "id": self.target.id,
                "probability": self.target.probability,
            },
            "method": one_line(self.method),
            "scores": [
                {"at": i, "token": token.text, "id": token.id, "score": float(score)}
                for i, (token, score) in enumerate(zip(self.tokens, self.scores, strict=True))
            ],
            "note": self.note,
        }

    def fill(self, payload: Payload) -> dict[str, Any]:
        """Scores and target."""
        target = {"text": one_line(self.target.text), "id": self.target.id, "probability": self.target.probability}
        return {
            "list": payload.put_tokens("attribution", self.tokens),
            "target": target,
            "method": one_line(self.method),
            "scoresKey": payload.put("attribution/scores", self.scores, dtype="f32"),
            "note": self.note,
        }

    def terminal(self, width: int = WIDTH) -> Text:
        """The text with a background for each token, blue for the target and orange against it; the largest scores."""
        furthest = float(np.abs(self.scores).max(initial=0)) or 1.0
        out = Text(f"{fit(self.title, width)}\n", "bold")
        body = Text()
        for token, score in zip(self.tokens, self.scores, strict=True):
            level = 0.5 + 0.5 * float(score) / furthest
            body.append(one_line(token.text), f"{ink_on(level, SIGNED)} on {ramp(level, SIGNED)}")
        out.append_text(wrap(body, width))
        rows = [
            [str(i), label(self.tokens[i]), f"{self.scores[i]:+.4f}", bar(abs(float(self.scores[i])) / furthest, 20)]
            for i in self.largest(MOST_LISTED)
        ]
        return out.append_text(table([["at", "token", "score", ""], *rows], right=frozenset({0, 2}), width=width))

    def draw(self, figure: "Figure") -> None:
        """Bars to either side, in the order of the text; the 40 largest of a long one."""
        from clearhead.lens.painting import shortened

        chosen = self.largest(MOST_DRAWN)
        scores = [float(self.scores[i]) for i in chosen]
        axes = figure.subplots()
        axes.barh(range(len(chosen)), scores, color=[FOR if score > 0 else AGAINST for score in scores], height=0.75)
        axes.set_yticks(range(len(chosen)), [shortened(label(self.tokens[i])) for i in chosen], parse_math=False)
        axes.set(ylim=(len(chosen) - 0.4, -0.6), xlabel="against   ·   for")
        axes.axvline(0, color="#444444", lw=0.8)
        axes.set_title(f"{self.title}, p = {self.target.probability:.3f}", parse_math=False)
        axes.spines[["top", "right"]].set_visible(False)
        figure.set_size_inches(6.4, 1.2 + 0.2 * len(chosen))


def wrap(text: Text, width: int) -> Text:
    """Lines of at most `width` columns, broken anywhere."""
    from io import StringIO

    from rich.console import Console

    lines = text.wrap(Console(file=StringIO(), width=width, force_jupyter=False), width, overflow="fold")
    return Text("\n").join(lines).append("\n")
