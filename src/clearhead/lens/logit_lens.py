"""The logit lens: what each layer would say, were it the last.

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
from clearhead.lens.colours import PLAIN
from clearhead.lens.likely import Likely, Spell, Top, check_top, rows_at_once, scored, speller, tokens_from, top_of
from clearhead.lens.payload import Payload, Token
from clearhead.lens.terminal import fit, ink_on, pad, ramp
from clearhead.lens.view import WIDTH, View
from clearhead.lens.words import label, unspaced
from clearhead.trace import Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from clearhead.engine.model import Model

LISTED = 12  # tokens: columns of a drawing
CELL = 10  # columns of a cell in a terminal
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

    @property
    def figures(self) -> dict[str, Any]:
        """What every layer would say at every token, and how sure it is."""
        return {
            "type": self.type,
            "title": self.title,
            "tokens": [token.text for token in self.tokens],
            "layers": [
                {
                    "name": name,
                    "entropy": top.entropy.tolist(),
                    "likely": [
                        [likely._asdict() for likely in top.likely(t, self.spell)] for t in range(len(self.tokens))
                    ],
                }
                for name, top in zip(self.rows, self.tops, strict=True)
            ],
            "note": self.note,
        }

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
                ink = ink_on(best.probability, PLAIN)
                same = best.id == int(self.tops[-1].ids[t, 0])
                out.append(pad(fit(unspaced(best.text), CELL - 1), CELL - 1), f"{'bold ' * same}{ink} on {paint}")
                out.append(" ")
            out.append("\n")
        names = "".join(pad(fit(label(self.tokens[t]), CELL - 1), CELL) for t in some)
        out.append(" " * left + names.rstrip() + "\n", "dim")
        hidden = "" if len(some) == len(self.tokens) else f"; tokens {some[0]} to {some[-1]} of {len(self.tokens)}"
        return out.append(fit(f"brighter: likelier; bold: what the last layer says{hidden}", width) + "\n", "dim")

    def draw(self, figure: "Figure") -> None:
        """The same grid; of a long text the last 12 tokens. Cells that say what the last layer says are framed."""
        from clearhead.lens.grids import CELL_TEXT, frames, word_grid
        from clearhead.lens.painting import shortened

        first = max(0, len(self.tokens) - LISTED)
        some = range(first, len(self.tokens))
        chances = np.stack([top.probabilities[first:, 0] for top in self.tops])
        axes = figure.subplots()
        word_grid(axes, chances, [[self.at(row, t)[0].text for t in some] for row in range(len(self.rows))])
        final = self.tops[-1].ids[first:, 0]
        same = np.argwhere(np.stack([top.ids[first:, 0] for top in self.tops]) == final)
        frames(axes, chances, same.tolist())
        axes.set(ylim=(-0.5, len(self.rows) - 0.5), xlabel="token read")
        axes.set_yticks(range(len(self.rows)), list(self.rows), parse_math=False)
        names = [shortened(label(self.tokens[t]), CELL_TEXT + 2) for t in some]
        axes.set_xticks(range(len(some)), names, parse_math=False)
        axes.set_title(f"{self.title}\nframed: the same token as the last layer", parse_math=False, loc="left")
        figure.set_size_inches(2.5 + 0.82 * len(some), 1.3 + 0.21 * len(self.rows))


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
