"""What a model would say: at every layer, were it the last (the logit lens), and at every token, with what else it
might have said.

R rows (the embedding, then layers), T tokens, V vocab_size, k tokens listed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.text import Text

from clearhead.errors import OptionError, UnsupportedError
from clearhead.generation.sampling import logprobs_of
from clearhead.lens.likely import Likely, Spell, Top, check_top, logits_of, rows_at_once, scored, speller, top_of
from clearhead.lens.payload import Payload, Token
from clearhead.lens.terminal import PLAIN, bar, fit, pad, ramp, table
from clearhead.lens.tokens import shown
from clearhead.lens.view import WIDTH, View
from clearhead.lens.words import label
from clearhead.trace import Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from clearhead.engine.model import Model

LISTED, DRAWN, RANKS = 12, 40, 5  # of tokens: columns of a drawing of layers, rows of one of choices, and their columns
CELL = 10  # columns of a cell in a terminal
CELL_TEXT = 10  # characters of a token in a cell of a drawing
DARK = 0.6  # of the colours from 0 to 1: below, writing on them is white
PREDICTS = {"lm": "comes next", "mlm": "stands there"}


@dataclass(kw_only=True, repr=False)
class LogitLensView(View):
    """What each layer would say next (nostalgebraist 2020): its output, read by the last norm and the head."""

    type: ClassVar[str] = "logit-lens"
    height: ClassVar[int] = 820

    tokens: Sequence[Token]  # [T]
    rows: Sequence[str]  # [R] names, from the embedding up
    tops: Sequence[Top]  # [R] of T positions each
    spell: Spell
    note: str
    title: str = "Logit lens: what each layer would say"

    def at(self, row: int, position: int) -> tuple[Likely, ...]:
        """The likeliest tokens at one cell, the likeliest first; both may count from the end."""
        return self.tops[row].likely(position, self.spell)

    @property
    def entropy(self) -> NDArray[np.float64]:
        """[R, T] in nats."""
        return np.stack([top.entropy for top in self.tops])

    @property
    def settled(self) -> list[int]:
        """[T] for each token, the first row from which on the likeliest token is the last layer's."""
        first = np.stack([top.ids[:, 0] for top in self.tops])  # [R, T]
        other = np.flip(first != first[-1], axis=0)
        settled: list[int] = np.where(other.any(axis=0), len(first) - other.argmax(axis=0), 0).tolist()
        return settled

    def fill(self, payload: Payload) -> dict[str, Any]:
        """Ids, probabilities and entropies of all cells."""
        ids = np.stack([top.ids for top in self.tops])
        return {
            "note": self.note,
            "list": payload.put_tokens("logit-lens", self.tokens),
            "rows": list(self.rows),
            "idsKey": payload.put("logit-lens/ids", ids),
            "probabilitiesKey": payload.put("logit-lens/probabilities", np.stack([t.probabilities for t in self.tops])),
            "entropyKey": payload.put("logit-lens/entropy", self.entropy),
            "vocabulary": {str(token): self.spell(token) for token in np.unique(ids).tolist()},
            "finalIds": ids[-1, :, 0].tolist(),
        }

    def terminal(self, width: int = WIDTH) -> Text:
        """The likeliest token of each cell, the last layer at the top; of a long text its end."""
        left = max(map(cell_len, self.rows)) + 1
        some = range(len(self.tokens))[-max(1, (width - left) // CELL) :]
        out = Text(fit(self.title, width) + "\n", "bold")
        for row in reversed(range(len(self.rows))):
            out.append(pad(self.rows[row], left), "dim")
            for t in some:
                best = self.at(row, t)[0]
                paint = ramp(best.probability, PLAIN)
                ink = "white" if best.probability < DARK else "black"
                same = best.id == int(self.tops[-1].ids[t, 0])
                out.append(pad(fit(written(best.text), CELL - 1), CELL - 1), f"{'bold ' * same}{ink} on {paint}")
                out.append(" ")
            out.append("\n")
        names = "".join(pad(fit(label(self.tokens[t]), CELL - 1), CELL) for t in some)
        out.append(" " * left + names.rstrip() + "\n", "dim")
        hidden = "" if len(some) == len(self.tokens) else f"; tokens {some[0]} to {some[-1]} of {len(self.tokens)}"
        return out.append(fit(f"brighter: likelier; bold: what the last layer says{hidden}", width) + "\n", "dim")

    def draw(self, figure: "Figure") -> None:
        """The same grid; of a long text the last 12 tokens. Cells that say what the last layer says are framed."""
        from clearhead.lens.painting import shown as shortened

        first = max(0, len(self.tokens) - LISTED)
        some = range(first, len(self.tokens))
        chances = np.stack([top.probabilities[first:, 0] for top in self.tops])
        texts = [[self.at(row, t)[0].text for t in some] for row in range(len(self.rows))]
        axes = figure.subplots()
        cells(axes, chances, texts)
        final = self.tops[-1].ids[first:, 0]
        same = np.argwhere(np.stack([top.ids[first:, 0] for top in self.tops]) == final)
        frames(axes, same.tolist())
        axes.set(ylim=(-0.5, len(self.rows) - 0.5), xlabel="token read")
        axes.set_yticks(range(len(self.rows)), list(self.rows), parse_math=False)
        names = [shortened(label(self.tokens[t]), CELL_TEXT + 2) for t in some]
        axes.set_xticks(range(len(some)), names, parse_math=False)
        axes.set_title(self.title, parse_math=False, loc="left")
        figure.set_size_inches(1.9 + 0.82 * len(some), 1.1 + 0.21 * len(self.rows))


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

    def fill(self, payload: Payload) -> dict[str, Any]:
        """A row for each choice."""
        return {
            "note": self.note,
            "list": payload.put_tokens("choices", self.tokens),
            "first": self.choices[0].token,
            "rows": [
                {
                    "token": choice.token,
                    "id": choice.id,
                    "text": choice.text,
                    "probability": choice.probability,
                    "rank": choice.rank,
                    "entropy": choice.entropy,
                    "top": [likely._asdict() for likely in choice.top],
                }
                for choice in self.choices
            ],
        }

    def terminal(self, width: int = WIDTH) -> Text:
        """A table: each token with its probability, rank and entropy, and the likeliest others."""
        rows = [["at", "token", "probability", "", "rank", "entropy", "others"]]
        for c in self.choices:
            others = [f"{written(x.text)} {x.probability:.2f}" for x in c.top if x.id != c.id]
            numbers = [f"{c.probability:.3f}", bar(c.probability, 8), str(c.rank), f"{c.entropy:.2f}"]
            rows.append([str(c.token), fit(written(c.text), 16), *numbers, "  ".join(others[:3])])
        out = Text(fit(self.title, width) + "\n", "bold")
        out.append_text(table(rows, right=frozenset({0, 2, 4, 5}), width=width))
        return out.append(fit(f"perplexity {self.perplexity:.3g}", width) + "\n", "dim")

    def draw(self, figure: "Figure") -> None:
        """The five likeliest tokens at each place, the chosen one framed; of a long text the first 40 places."""
        from clearhead.lens.painting import shown as shortened

        some = self.choices[:DRAWN]
        k = min(RANKS, len(some[0].top))
        chances = np.array([[likely.probability for likely in c.top[:k]] for c in some])
        axes = figure.subplots()
        cells(axes, chances, [[likely.text for likely in c.top[:k]] for c in some], numbers=True)
        found = [[i for i, likely in enumerate(c.top[:k]) if likely.id == c.id] for c in some]
        frames(axes, [(row, i) for row, places in enumerate(found) for i in places])
        names = [shortened(written(c.text)) for c in some]
        axes.set_yticks(range(len(some)), names, parse_math=False)
        axes.set(ylim=(len(some) - 0.5, -0.5), xticks=range(k), xticklabels=[f"{i + 1}." for i in range(k)])
        axes.xaxis.tick_top()
        for row, c in enumerate(some):
            text = f"{c.probability:.3f}   rank {c.rank:,}   entropy {c.entropy:.2f}"
            axes.text(k - 0.4, row, text, va="center", size=7.5, color="#555555", clip_on=False)
        axes.set_title(f"{self.title} · perplexity {self.perplexity:.3g}", parse_math=False, loc="left")
        figure.set_size_inches(4.6 + 1.05 * k, 0.9 + 0.22 * len(some))


def written(text: str) -> str:
    """A token's text in a cell: without the space before it, unless it is nothing else."""
    return text.strip() or "␣" * len(text)


def cells(axes: "Axes", chances: NDArray[np.float64], texts: Sequence[Sequence[str]], *, numbers: bool = False) -> None:
    """A grid of words on grounds that are the brighter the likelier they are; their probabilities too, if `numbers`."""
    from clearhead.lens.painting import PLAIN as COLOURS
    from clearhead.lens.painting import shown as shortened

    axes.imshow(chances, cmap=COLOURS, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    for (i, j), chance in np.ndenumerate(chances):
        ink = "white" if chance < DARK else "black"
        text = shortened(written(texts[i][j]), CELL_TEXT)
        place = {"x": j - 0.42, "ha": "left"} if numbers else {"x": j, "ha": "center"}
        axes.text(y=i, s=text, va="center", color=ink, size=7.5, parse_math=False, **place)
        if numbers:
            axes.text(
                j + 0.45, i, f"{chance:.2f}".lstrip("0"), ha="right", va="center", color=ink, size=6.5, alpha=0.85
            )
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0)
    for line in np.arange(chances.shape[1] - 1) + 0.5:
        axes.axvline(line, color="white", lw=1)


def frames(axes: "Axes", places: Sequence[Sequence[int]]) -> None:
    """Cells (row, column) in a frame."""
    from matplotlib.patches import Rectangle

    for row, column in places:
        axes.add_patch(Rectangle((column - 0.45, row - 0.42), 0.9, 0.84, fill=False, edgecolor="#ff8a3d", lw=1.2))


def logit_lens(trace: Trace, model: "Model | None" = None, *, top: int = 5) -> LogitLensView:
    """What the embedding and each layer that the trace holds would say, were they followed by the last norm and the
    head; the `top` likeliest tokens and the entropy at each token. `model` is the one traced, where the trace has lost
    it.

    Raises:
        UnsupportedError: no head over the vocabulary's tokens, or no model to read the states with.
        OptionError: states that the trace does not hold, another model than the one traced, or `top` out of range.
    """
    stack = scored(trace)
    check_top(top, trace.config.vocab_size)
    source = model or getattr(trace, "source", None)
    if source is None:
        raise UnsupportedError("the logit lens needs the model that was traced; name it: logit_lens(trace, model)")
    if source.config != trace.config:
        raise OptionError(f"the trace was made with another model than {source.name}; name the one that was traced")
    rows = held_layers(trace, stack)
    step = rows_at_once(trace.config.vocab_size)
    tops = []
    for path in rows.values():
        states = trace[path]
        # Only a few tokens' scores at a time: those of a whole text may be larger than the model.
        parts = [top_of(source.executor.read(states[i : i + step]), top) for i in range(0, len(states), step)]
        tops.append(joined(parts))
    predicts = PREDICTS[trace.config.head]
    return LogitLensView(
        tokens=tokens_from(trace, stack),
        rows=list(rows),
        tops=tops,
        spell=speller(trace, source),
        note=f"Each cell: what the model would say {predicts}, if that layer's output went straight to "
        + ("the last norm and the head." if trace.config.norm_placement == "pre" else "the head."),
    )


def held_layers(trace: Trace, stack: str) -> dict[str, str]:
    """The embedding and the layers whose outputs the trace holds, by name, bottom first.

    Raises:
        OptionError: the embedding or the last layer is missing.
    """
    config = trace.config
    depth = config.n_decoder_layers if stack == "decoder" else config.n_encoder_layers
    paths = {"embedding": f"{stack}.embed.output"}
    paths |= {f"layer {i}": f"{stack}.layers.{i}.output" for i in range(depth)}
    held = {name: path for name, path in paths.items() if path in trace}
    if missing := {"embedding", f"layer {depth - 1}"} - set(held):
        lost = " and ".join(paths[name] for name in sorted(missing))
        raise OptionError(f'the trace does not hold {lost}; trace with kinds that include "output", and the last layer')
    return held


def joined(parts: Sequence[Top]) -> Top:
    """Parts of a text in order, as one."""
    return Top(
        ids=np.concatenate([top.ids for top in parts]),
        probabilities=np.concatenate([top.probabilities for top in parts]),
        entropy=np.concatenate([top.entropy for top in parts]),
    )


def tokens_from(trace: Trace, stack: str) -> list[Token]:
    """The tokens of a stack from where the trace begins."""
    span = trace.spans[stack]
    return shown(trace, stack)[span.first : span.first + span.filled]


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
    ahead = 1 if stack == "decoder" else 0  # a decoder's logits are of the token after
    start = trace.spans[stack].first
    ids = trace.ids[stack]
    new = stack == "decoder" and len(ids) > trace.n_prompt
    first = max(start + ahead, trace.n_prompt if new else 0)
    where = range(first, min(len(ids), start + len(logits) + ahead))
    if not where:
        raise OptionError("the text has one token, and none comes before it; trace a longer one or max_new_tokens")
    rows = logits[where.start - start - ahead : where.stop - start - ahead]
    found, spell = top_of(rows, top), speller(trace, model)
    own, ranks = standing(rows, ids[where.start : where.stop])
    return ChoicesView(
        tokens=shown(trace, stack),
        choices=[
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
        ],
        title="What the model wrote, and what else it might have said" if new else "How likely each token was",
        note=noted(ahead, new),
    )


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
