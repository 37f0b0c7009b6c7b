"""Before and after: what an edit, or another text, changes in what a model says and in what its layers give.

The two runs are compared position by position. R layers, T positions that both runs have, V vocab_size.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from clearhead.edits import Edit
from clearhead.errors import OptionError
from clearhead.generation.sampling import largest, log_softmax
from clearhead.lens.colours import ACCENT
from clearhead.lens.likely import Doubles, Likely, Spell, check_top, logits_of, rows_at_once, speller, tokens_from
from clearhead.lens.payload import Payload, Token
from clearhead.lens.terminal import fit, heat_map, table
from clearhead.lens.view import WIDTH, View
from clearhead.lens.words import label, unspaced
from clearhead.text.printable import one_line
from clearhead.trace import Trace
from clearhead.trace.schema import StackName, last_stack

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from clearhead.engine.model import Model

LISTED = 40  # positions in a terminal: those that changed most
HEADED, TICKS = 3, 10  # of a drawing: edits named above it, layers named beside it
LEAST = 0.01  # nats: the height of an axis on which nothing moved
BEFORE, AFTER = "#9aa5b1", ACCENT


@dataclass(frozen=True, kw_only=True, slots=True)
class Shift:
    """How likely one token is before and after."""

    id: int
    text: str
    before: float
    after: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """What is said at one position: every token that is among the likeliest of either run, in both."""

    index: int  # of the token read last
    shifts: tuple[Shift, ...]  # the likeliest before first
    divergence: float  # KL(before || after) in nats

    @property
    def before(self) -> list[Likely]:
        """The same as before alone, the likeliest first."""
        return sorted((Likely(s.id, s.text, s.before) for s in self.shifts), key=lambda likely: -likely.probability)

    @property
    def after(self) -> list[Likely]:
        """The same as after alone, the likeliest first."""
        return sorted((Likely(s.id, s.text, s.after) for s in self.shifts), key=lambda likely: -likely.probability)


@dataclass(kw_only=True, repr=False)
class ComparisonView(View):
    """Two runs of one model: what it would say at each position, and how far each layer's output moved."""

    type: ClassVar[str] = "comparison"
    height: ClassVar[int] = 820

    tokens: Sequence[Token]  # [T] as read after
    tokens_before: Sequence[Token]  # [T]
    positions: Sequence[Position]  # [T]; none where the model scores no tokens
    change: NDArray[np.float64]  # [R, T] the length of the difference over the length before
    rows: Sequence[str]  # [R] names, the first layer first
    edits: Sequence[str]  # what was changed, in words
    names: tuple[str, str] = ("before", "after")
    title: str = "Before and after"

    @property
    def divergence(self) -> NDArray[np.float64]:
        """[T] KL(before || after) in nats."""
        return np.array([position.divergence for position in self.positions])

    @property
    def most_changed(self) -> Position:
        """The position at which what is said next moved furthest."""
        return self.positions[int(self.divergence.argmax())]

    @property
    def note(self) -> str:
        """From where on the runs read different tokens, if they do, and what cannot be compared."""
        pairs = zip(self.tokens_before, self.tokens, strict=True)
        parted = next((n for n, (one, other) in enumerate(pairs) if one.id != other.id), None)
        said = [] if parted is None else [f"The two runs read the same tokens up to token {parted}, which differs."]
        said += [] if self.positions else ["This model scores no tokens, so that its layers alone are compared."]
        return " ".join(said)

    @property
    def figures(self) -> dict[str, Any]:
        """What each run found likely at every position, and how far every layer moved."""
        return {
            "type": self.type,
            "title": self.title,
            "edits": [one_line(edit) for edit in self.edits],
            "positions": [
                {
                    "index": position.index,
                    "token": token.text,
                    "divergence": position.divergence,
                    "before": [likely._asdict() for likely in position.before],
                    "after": [likely._asdict() for likely in position.after],
                }
                for position, token in zip(self.positions, self.tokens, strict=False)
            ],
            "layers": [
                {"name": name, "change": change.tolist()} for name, change in zip(self.rows, self.change, strict=True)
            ],
            "note": self.note,
        }

    def fill(self, payload: Payload) -> dict[str, Any]:
        """Likely tokens, divergences, and the change of each layer."""
        lists = {"list": payload.put_tokens("comparison", self.tokens)}
        if [token.id for token in self.tokens] != [token.id for token in self.tokens_before]:
            lists |= {"beforeList": payload.put_tokens("comparison/before", self.tokens_before)}
        if self.note:
            lists |= {"note": self.note}
        return {
            **lists,
            "names": list(self.names),
            "positions": list(range(len(self.positions))),
            "before": [[likely._asdict() for likely in position.before] for position in self.positions],
            "after": [[likely._asdict() for likely in position.after] for position in self.positions],
            "divergence": self.divergence.tolist(),
            "changeKey": payload.put("comparison/change", self.change, dtype="f32"),
            "rows": list(self.rows),
            "edits": [one_line(edit) for edit in self.edits],
        }

    def terminal(self, width: int = WIDTH) -> Text:
        """The edits, the likeliest token at each position before and after, and the layers in shades."""
        out = Text(fit(self.title, width) + "\n", "bold")
        for edit in self.edits:
            out.append(fit(f"  {edit}", width) + "\n")
        if self.positions:
            out.append_text(self.likeliest(width))
        if len(self.rows):
            out.append("change of each layer's output, relative to its length\n", "dim")
            layers, limits = list(reversed(self.rows)), (0.0, self.furthest or 1.0)
            out.append_text(heat_map(self.change[::-1], width=width, rows=layers, limits=limits, root=True))
        return out.append("".join(f"{line}\n" for line in textwrap.wrap(self.note, width)), "dim")

    def likeliest(self, width: int) -> Text:
        """A table of the positions that changed most."""
        order = sorted(range(len(self.positions)), key=lambda n: -self.positions[n].divergence)
        rows = [["at", "token", "nats", self.names[0], "p", self.names[1], "p"]]
        for n in sorted(order[:LISTED]):
            position = self.positions[n]
            best = [
                (fit(unspaced(x.text), 14), f"{x.probability:.3f}") for x in (position.before[0], position.after[0])
            ]
            rows.append(
                [str(position.index), fit(label(self.tokens[n]), 14), f"{position.divergence:.3f}", *sum(best, ())]
            )
        return table(rows, right=frozenset({0, 2, 4, 6}), width=width)

    @property
    def furthest(self) -> float:
        """The largest change of a layer's output."""
        return float(self.change.max(initial=0))

    def draw(self, figure: "Figure") -> None:
        """How far what is said next moved at each token, above the change of each layer; beside them the likely tokens
        where it moved furthest. The layers alone of a model that scores no tokens."""
        n = len(self.tokens)
        wide = max(4.0, min(9.0, 1.8 + 0.2 * n))
        beside = 3.6 if self.positions else 0.0
        if self.positions:
            left, right = np.ravel(figure.subfigures(1, 2, squeeze=False, width_ratios=[wide, beside]))
            heights = [1.0, max(0.4, min(3.0, 0.1 * len(self.rows)))]
            above, below = left.subplots(2, 1, sharex=True, height_ratios=heights)
            self.draw_divergence(above)
            self.draw_most_changed(right.subplots())
        else:
            below = figure.subplots()
        self.draw_layers(below)
        lines = [self.title, *(fit(edit, 80) for edit in self.edits[:HEADED])]
        if len(self.edits) > HEADED:
            lines.append(f"and {len(self.edits) - HEADED} more")
        figure.suptitle("\n".join(lines), parse_math=False, x=0.01, ha="left", size=9)
        figure.set_size_inches(wide + beside, 2.6 + 0.09 * max(8, len(self.rows)) + 0.16 * len(lines))

    def draw_divergence(self, axes: "Axes") -> None:
        """A bar for each position; runs that agree have none, on a scale that does not make rounding look large."""
        axes.bar(range(len(self.positions)), self.divergence, color=AFTER, width=0.8)
        top = max(1.05 * float(self.divergence.max()), LEAST)
        axes.set(ylim=(0, top), ylabel="KL, nats", title="How far the next token moved")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(bottom=False, labelbottom=False)

    def draw_layers(self, axes: "Axes") -> None:
        """The change of each layer's output, the last layer at the top."""
        from clearhead.lens.painting import paint_matrix

        shares = 100 * (self.change if len(self.rows) else np.zeros((1, len(self.tokens))))
        step = -(-len(self.rows) // TICKS) or 1
        words = [label(token) for token in self.tokens]
        limits = (0.0, 100 * self.furthest or 1.0)
        paint_matrix(axes, shares, columns=words, limits=limits, root=True, bar="%")
        axes.set_yticks(range(0, len(self.rows), step), [name.removeprefix("layer ") for name in self.rows[::step]])
        axes.set(ylabel="layer", title="Change of each layer's output", ylim=(-0.5, len(shares) - 0.5))

    def draw_most_changed(self, axes: "Axes") -> None:
        """Bars of the likely tokens at the position that changed most."""
        from clearhead.lens.painting import shortened

        position = self.most_changed
        shifts = sorted(position.shifts, key=lambda s: -max(s.before, s.after))[:10]
        places = np.arange(len(shifts))
        axes.barh(places - 0.19, [s.before for s in shifts], height=0.36, color=BEFORE, label=self.names[0])
        axes.barh(places + 0.19, [s.after for s in shifts], height=0.36, color=AFTER, label=self.names[1])
        axes.set_yticks(places, [shortened(unspaced(s.text)) for s in shifts], parse_math=False)
        axes.set(ylim=(len(shifts) - 0.4, -0.6), xlabel="probability", xlim=(0, None))
        axes.locator_params(axis="x", nbins=5)
        token = shortened(label(self.tokens[self.positions.index(position)]))
        axes.set_title(f'After "{token}" ({position.index})', parse_math=False)
        axes.spines[["top", "right"]].set_visible(False)
        for text in axes.legend(frameon=False, loc="lower right").get_texts():
            text.set_parse_math(False)


def before_after(
    before: Trace,
    after: Trace,
    edits: Sequence[Edit | Sequence[Edit] | str] = (),
    *,
    model: "Model | None" = None,
    top: int = 5,
) -> ComparisonView:
    """Two runs of one model over the positions that both have; `edits` are those of the second, or say in words what it
    was. Runs may have read different tokens, or have written others; the view says from where on.

    The tokens listed are the `top` likeliest of either run, with their probabilities in both. Layers are compared where
    both traces hold their outputs; layers alone, where the model has no head over the vocabulary's tokens.

    Raises:
        OptionError: two models, no logits, runs that begin at different positions, nothing to compare, or `top` out of
            range.
    """
    stack = check_alike(before, after)
    check_top(top, before.config.vocab_size)
    positions: list[Position] = []
    if before.config.head in ("lm", "mlm"):
        spell = speller(before, model or getattr(after, "source", None) or getattr(before, "source", None))
        positions = shifted(logits_of(before), logits_of(after), before.spans[stack].first, top, spell)
    T = len(positions) or min(trace.spans[stack].filled for trace in (before, after))
    rows, change = changes(before, after, stack, T)
    if not positions and not rows:
        raise OptionError('these traces hold nothing to compare; trace with kinds that include "output"')
    return ComparisonView(
        tokens=tokens_from(after, stack)[:T],
        tokens_before=tokens_from(before, stack)[:T],
        positions=positions,
        change=change,
        rows=rows,
        edits=said(edits),
    )


def check_alike(before: Trace, after: Trace) -> StackName:
    """The stack that is compared; errors as `before_after`."""
    if not isinstance(after, Trace):
        raise OptionError(f"after is {after!r:.60}; give another trace of the same model")
    if before.config != after.config:
        raise OptionError("these traces are of two models; compare runs of one")
    stack = last_stack(before.config)
    first = [trace.spans[stack].first for trace in (before, after)]
    if first[0] != first[1]:
        raise OptionError(f"one trace begins at token {first[0]}, the other at {first[1]}")
    return stack


def shifted(one: NDArray[Any], other: NDArray[Any], first: int, top: int, spell: Spell) -> list[Position]:
    """Every position of two runs' logits [T, V]; a few at a time, for a vocabulary is large."""
    T, step = min(len(one), len(other)), rows_at_once(one.shape[1])
    spans = [slice(n, min(T, n + step)) for n in range(0, T, step)]
    return [position for s in spans for position in compared(one[s], other[s], first + s.start, top, spell)]


def said(edits: Sequence[Edit | Sequence[Edit] | str]) -> list[str]:
    """Edits, and lists of them such as `patch` gives, in words."""
    lists = [[edit] if isinstance(edit, Edit | str) else edit for edit in edits]
    return [edit if isinstance(edit, str) else edit.description for some in lists for edit in some]


def compared(before: NDArray[Any], after: NDArray[Any], first: int, top: int, spell: Spell) -> list[Position]:
    """Positions from `first` on, of logits [T, V]."""
    one, other = log_softmax(before), log_softmax(after)
    divergences = divergence(one, other)
    found = []
    for n, (p, q) in enumerate(zip(one, other, strict=True)):
        ids = dict.fromkeys([*largest(p, top).tolist(), *largest(q, top).tolist()])
        shifts = tuple(Shift(id=i, text=spell(i), before=float(np.exp(p[i])), after=float(np.exp(q[i]))) for i in ids)
        found.append(Position(index=first + n, shifts=shifts, divergence=float(divergences[n])))
    return found


def divergence(one: Doubles, other: Doubles) -> Doubles:
    """[T] KL(one || other) in nats, of log-probabilities [T, V]: sum of p (log p - log q)."""
    p, q = np.maximum(one, -1e4), np.maximum(other, -1e4)  # minus infinity on both sides would give no number
    return np.asarray(np.maximum(np.einsum("tv,tv->t", np.exp(p), p - q), 0))


def changes(before: Trace, after: Trace, stack: str, T: int) -> tuple[list[str], NDArray[np.float64]]:
    """Layers whose outputs both traces hold, and by how much each moved at each position [R, T]."""
    config = before.config
    depth = config.n_decoder_layers if stack == "decoder" else config.n_encoder_layers
    paths = {f"layer {i}": f"{stack}.layers.{i}.output" for i in range(depth)}
    held = {name: path for name, path in paths.items() if path in before and path in after}
    moved = np.zeros((len(held), T))
    for row, path in enumerate(held.values()):
        a, b = (np.asarray(trace[path][:T], np.float64) for trace in (before, after))
        length = np.linalg.norm(a, axis=-1)
        moved[row] = np.linalg.norm(b - a, axis=-1) / np.maximum(length, np.finfo(np.float32).tiny)
    return list(held), moved
