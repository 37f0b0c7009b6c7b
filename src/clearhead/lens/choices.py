"""Choices: how likely each token was that a model wrote or read, and what else might have stood there.

T tokens, V vocab_size, k tokens listed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from clearhead.errors import OptionError
from clearhead.generation.sampling import logprobs_of
from clearhead.lens.likely import Likely, Spell, Top, check_top, logits_of, rows_at_once, scored, speller, top_of
from clearhead.lens.payload import Payload, Token
from clearhead.lens.terminal import bar, fit, table
from clearhead.lens.tokens import tokens_in
from clearhead.lens.view import WIDTH, View
from clearhead.lens.words import unspaced
from clearhead.trace import Trace
from clearhead.trace.schema import LOGITS, last_stack

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from clearhead.engine.model import Model

DRAWN, RANKS = 40, 5  # rows and columns of a drawing


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One token of a text, and how likely it was where it stands."""

    token: int  # its index in the text
    id: int
    text: str
    probability: float
    rank: int  # 1 for the likeliest
    entropy: float  # of all that might have stood there, in nats
    top: tuple[Likely, ...]  # the likeliest tokens, likeliest first

    def row(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "token": self.token,
            "id": self.id,
            "text": self.text,
            "probability": self.probability,
            "rank": self.rank,
            "entropy": self.entropy,
            "top": [likely._asdict() for likely in self.top],
        }


@dataclass(kw_only=True, repr=False)
class ChoicesView(View):
    """What the model chose, token by token, and what else it might have said."""

    type: ClassVar[str] = "choices"
    height: ClassVar[int] = 700

    tokens: Sequence[Token]
    choices: Sequence[Choice]
    note: str
    title: str = "Choices"

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log-probability of the tokens that were chosen."""
        with np.errstate(divide="ignore"):
            return float(np.exp(-np.mean(np.log([choice.probability for choice in self.choices]))))

    @property
    def figures(self) -> dict[str, Any]:
        """A row for each choice."""
        return {
            "type": self.type,
            "title": self.title,
            "perplexity": self.perplexity,
            "choices": [choice.row() for choice in self.choices],
            "note": self.note,
        }

    def fill(self, payload: Payload) -> dict[str, Any]:
        """The same for a page."""
        return {
            "note": self.note,
            "list": payload.put_tokens("choices", self.tokens),
            "first": self.choices[0].token,
            "rows": [choice.row() for choice in self.choices],
        }

    def terminal(self, width: int = WIDTH) -> Text:
        """A table: each token with its probability, rank and entropy, and the likeliest others."""
        rows = [["at", "token", "probability", "", "rank", "nats", "others"]]
        for c in self.choices:
            others = [f"{unspaced(x.text)} {x.probability:.2f}" for x in c.top if x.id != c.id]
            numbers = [f"{c.probability:.3f}", bar(c.probability, 8), str(c.rank), f"{c.entropy:.2f}"]
            rows.append([str(c.token), fit(unspaced(c.text), 16), *numbers, "  ".join(others[:3])])
        out = Text(fit(self.title, width) + "\n", "bold")
        out.append_text(table(rows, right=frozenset({0, 2, 4, 5}), width=width))
        explained = f"perplexity {self.perplexity:.3g}; nats: entropy of all that might have stood there"
        return out.append(fit(explained, width) + "\n", "dim")

    def draw(self, figure: "Figure") -> None:
        """The five likeliest tokens at each place, the chosen one framed; of a long text the first 40 places."""
        from clearhead.lens.grids import frames, word_grid
        from clearhead.lens.painting import shortened

        some = self.choices[:DRAWN]
        k = min(RANKS, len(some[0].top))
        chances = np.array([[likely.probability for likely in c.top[:k]] for c in some])
        axes = figure.subplots()
        word_grid(axes, chances, [[likely.text for likely in c.top[:k]] for c in some], numbers=True)
        found = [[i for i, likely in enumerate(c.top[:k]) if likely.id == c.id] for c in some]
        frames(axes, chances, [(row, i) for row, places in enumerate(found) for i in places])
        names = [shortened(unspaced(c.text)) for c in some]
        axes.set_yticks(range(len(some)), names, parse_math=False)
        axes.set(ylim=(len(some) - 0.5, -0.5), xticks=range(k), xticklabels=[f"{i + 1}." for i in range(k)])
        axes.xaxis.tick_top()
        for row, c in enumerate(some):
            text = f"{c.probability:.3f}   rank {c.rank:,}   entropy {c.entropy:.2f} nats"
            axes.text(k - 0.4, row, text, va="center", size=7.5, color="#555555", clip_on=False)
        axes.set_title(
            f"{self.title} · perplexity {self.perplexity:.3g}\nframed: what it chose", parse_math=False, loc="left"
        )
        figure.set_size_inches(4.9 + 1.05 * k, 1.1 + 0.22 * len(some))


def choices(trace: Trace, model: "Model | None" = None, *, top: int = 10) -> ChoicesView:
    """How likely each token was that the model wrote, and the `top` likeliest at each place; of a trace in which it
    wrote none, how likely each token was that it read. Of an encoder, how likely each token is where it stands, which
    it can see unless it is masked.

    Probabilities are the model's own, before any sampling option. `model` spells tokens where the trace has lost its
    model.

    Raises:
        UnsupportedError: no head over the vocabulary's tokens.
        OptionError: no logits in the trace, nothing that was predicted, or `top` out of range.
    """
    logits, stack = logits_of(trace), scored(trace)
    check_top(top, trace.config.vocab_size)
    where = predicted(trace)
    if not where:
        raise OptionError("the text has one token, and none comes before it; trace a longer one or max_new_tokens")
    start, ids = trace.spans[stack].first + ahead(trace), trace.ids[stack]
    rows = logits[where.start - start : where.stop - start]
    new = stack == "decoder" and len(ids) > trace.n_prompt
    return ChoicesView(
        tokens=tokens_in(trace, stack),
        choices=chosen(rows, ids, where, top_of(rows, top), speller(trace, model)),
        title="What the model wrote, and what else it might have said" if new else "How likely each token was",
        note=noted(ahead(trace), new),
    )


def ahead(trace: Trace) -> int:
    """How far from its logits a token stands: a decoder's are of the token after."""
    return 1 if last_stack(trace.config) == "decoder" else 0


def predicted(trace: Trace) -> range:
    """The tokens that the trace has predictions of: those that the model wrote, or else all that it read. Empty where
    there are none: no logits, or one token alone."""
    if LOGITS not in trace or trace.config.head not in ("lm", "mlm"):
        return range(0)
    stack = last_stack(trace.config)
    ids, start = trace.ids[stack], trace.spans[stack].first
    new = stack == "decoder" and len(ids) > trace.n_prompt
    first = max(start + ahead(trace), trace.n_prompt if new else 0)
    return range(first, min(len(ids), start + len(trace[LOGITS]) + ahead(trace)))


def chosen(rows: NDArray[Any], ids: Sequence[int], where: range, found: Top, spell: Spell) -> list[Choice]:
    """The tokens `where` of a text, each under its row of logits [T, V]."""
    own, ranks = standing(rows, ids[where.start : where.stop])
    return [
        Choice(
            token=t,
            id=ids[t],
            text=spell(ids[t]),
            probability=float(own[n]),
            rank=int(ranks[n]),
            entropy=float(found.entropy[n]),
            top=found.likely(n, spell),
        )
        for n, t in enumerate(where)
    ]


def noted(ahead: int, new: bool) -> str:
    """What the probabilities are of."""
    if not ahead:
        return "The probability of each token where it stands. The model sees the token itself, unless it is a mask."
    return f"The probability of each token that the model {'wrote' if new else 'read'}, given all tokens before it."


def standing(logits: NDArray[Any], ids: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """[T] the probability of ids[t] under logits[t], and its rank: 1 more than the tokens that are likelier."""
    step = rows_at_once(logits.shape[1])
    spans = [slice(i, i + step) for i in range(0, len(ids), step)]
    probabilities = [np.exp(logprobs_of(logits[s], ids[s])) for s in spans]
    own = logits[np.arange(len(ids)), np.asarray(ids)]
    ranks = [1 + (logits[s] > own[s, None]).sum(axis=1) for s in spans]
    return np.concatenate(probabilities), np.concatenate(ranks)
