"""Attention: where each token looks, head by head; one head as a matrix or arcs, all layers and heads at a glance.

T queries, S keys, H heads that the trace holds.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from rich.text import Text

from clearhead.errors import OptionError
from clearhead.lens.modules import Module, Weights, check_index, decided, modules, pick, to_others, tokens_of
from clearhead.lens.payload import ROOM, Levels, Payload, Token
from clearhead.lens.pooling import CELLS, peaks, pool_max
from clearhead.lens.terminal import LONGEST_LABEL, heat_map, table
from clearhead.lens.view import WIDTH, View
from clearhead.lens.words import label
from clearhead.trace import Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXACT = 2_000_000  # weights of all heads together that a page gets as float32; of more it gets levels
SHORT_CELLS = 64  # along each side of an overview where a page is short of room
MOST_ROWS = 60  # of a matrix in a terminal
MOST_PAIRS = 20  # in a terminal
KINDS = ("matrix", "arcs", "glance")

Head = tuple[str, int]  # a module's path and the number of a head
Drawing = Literal["matrix", "arcs", "glance"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """One query that looks at one key: indices of tokens."""

    query: int
    key: int
    weight: float


@dataclass(kw_only=True, repr=False)
class AttentionView(View):
    """All heads at a glance and some in full, one of them chosen.

    A page gets every head pooled to at most 128 x 128 cells, each the largest weight in it (exact up to 128 tokens),
    and heads in full: all of them as they are where they are few numbers; otherwise as levels (an error of at most
    0.004), the chosen head first, then those named in `full`, or the most decided ones (see `modules.decided`) while
    there is room (`Payload.room`: 24 MiB in a file). In a cell of a notebook there is less of both.
    """

    type: ClassVar[str] = "attention"
    height: ClassVar[int] = 720

    modules: Sequence[Module]
    tokens: Mapping[str, Sequence[Token]]  # by stack
    module: Module | None = None  # the chosen head is one of this module's; where none is chosen,
    head: int | None = None  # all heads are shown, of `glance` alone where modules are named there
    glance: Sequence[Module] = ()
    full: Sequence[Head] | None = None
    drawing: Drawing = "matrix"
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:  # type: ignore[override]
        """Which heads of which model."""
        if self.module is not None and self.head is not None:
            return f"Attention: {self.module.name}, head {self.head}"
        shown = self.glance or self.modules
        return f"Attention: {shown[0].name}" if len(shown) == 1 else "Attention: all heads"

    @property
    def model(self) -> dict[str, Any]:
        return dict(self.about)

    @cached_property
    def ranking(self) -> list[tuple[float, Module, int]]:
        """Every head, the most decided first."""
        found = [(decided(m, head, self.tokens[m.keys]), m, head) for m in self.modules for head in m.heads]
        return sorted(found, key=lambda item: -item[0])

    @property
    def chosen(self) -> tuple[Module, int]:
        """The chosen head, or else the most decided one of those shown; beside an encoder, of those that look at it."""
        if self.module is not None and self.head is not None:
            return self.module, self.head
        shown = [(m, head) for _, m, head in self.ranking if not self.glance or m in self.glance]
        across = [(m, head) for m, head in shown if m.kind == "cross_attention"]
        return (across or shown)[0]

    def weights(self) -> Weights:
        """[T, S] of the chosen head."""
        module, head = self.chosen
        return module.of(head)

    def strongest(self, count: int = MOST_PAIRS, *, query: int | None = None, every: bool = False) -> list[Pair]:
        """The largest weights of the chosen head, the largest first; of one query where its token's index is named.

        A query's own token, special tokens and a decoder's first token are left out unless `every`: they attract
        attention whatever the text says.
        """
        check_index("count", count)
        check_index("query", query)
        module, head = self.chosen
        first, T = module.first_query, module.weights.shape[1]
        if query is not None and not 0 <= query - first < T:
            raise OptionError(f"query is {query}; the trace holds tokens {first} to {first + T - 1}")
        rows = range(T) if query is None else [query - first]
        weights = module.of(head)[rows] if every else to_others(module, head, self.tokens[module.keys], rows)
        return [Pair(query=rows[t] + first, key=s, weight=float(weights[t, s])) for t, s in peaks(weights, count)]

    @property
    def figures(self) -> dict[str, Any]:
        """The strongest pairs of the chosen head (see `strongest`), and how decidedly every head looks at others."""
        module, head = self.chosen
        queries, keys = self.tokens[module.stack], self.tokens[module.keys]
        return {
            "type": self.type,
            "title": self.title,
            "module": module.path,
            "layer": module.layer,
            "head": head,
            "pairs": [
                {
                    "query": p.query,
                    "query_word": label(queries[p.query]),
                    "key": p.key,
                    "key_word": label(keys[p.key]),
                    "weight": p.weight,
                }
                for p in self.strongest()
            ],
            "heads": [
                {"module": m.path, "layer": m.layer, "head": number, "decided": score}
                for score, m, number in self.ranking
            ],
        }

    # The page.

    def fill(self, payload: Payload) -> dict[str, Any]:
        """Overviews of all heads, and some in full."""
        lists = {stack: payload.put_tokens(stack, tokens) for stack, tokens in self.tokens.items()}
        module, head = self.chosen
        full = self.put_full(payload)
        generated = [i for i, token in enumerate(self.tokens[self.modules[-1].stack]) if token.generated]
        return {
            "note": self.note(full, payload.room),
            "selected": {"module": module.path, "head": head},
            "modules": [self.put_module(payload, m, lists, full[m.path]) for m in self.modules],
            "generatedFrom": generated[0] if generated else None,
        }

    def put_module(self, payload: Payload, m: Module, lists: Mapping[str, str], full: dict[str, str]) -> dict[str, Any]:
        """One module, with the overviews of its heads."""
        side = CELLS if payload.room >= ROOM else SHORT_CELLS
        pooled = [pool_max(m.of(head), side) for head in m.heads]
        overview = np.stack([np.asarray(cells, np.float32) for cells, _ in pooled])
        return {
            "path": m.path,
            "stack": m.stack,
            "layer": m.layer,
            "kind": m.kind,
            "queries": lists[m.stack],
            "keys": lists[m.keys],
            "causal": m.causal,
            "firstQuery": m.first_query,
            "heads": list(m.heads),
            "overviewKey": payload.put(f"{m.path}.weights/overview", overview, levels="sqrt"),
            "cell": list(pooled[0][1]),
            "full": full,
        }

    def put_full(self, payload: Payload) -> dict[str, dict[str, str]]:
        """The names of the arrays of heads in full, by module and head."""
        exact = sum(m.weights.size for m in self.modules) <= min(EXACT, payload.room // 4)
        levels: Levels = "linear" if exact else "sqrt"
        found: dict[str, dict[str, str]] = {m.path: {} for m in self.modules}
        left = payload.room
        for m, head in self.in_full(exact):
            if left <= 0 and self.full is None and not exact:
                break
            name = payload.put(f"{m.path}.weights/{head}", m.of(head), levels=levels)
            found[m.path][str(head)] = name
            left -= len(payload.arrays[name].data)
        return found

    def in_full(self, exact: bool) -> Iterable[tuple[Module, int]]:
        """The heads to be shown in full, the most wanted first, each once."""
        if self.full is not None:
            by_path = {m.path: m for m in self.modules}
            wanted = [(by_path[path], head) for path, head in self.full]
        elif exact:
            wanted = [(m, head) for m in self.modules for head in m.heads]
        else:
            wanted = [(m, head) for _, m, head in self.ranking]
        return dict.fromkeys([self.chosen, *wanted])

    def note(self, full: Mapping[str, Collection[str]], room: int = ROOM) -> str:
        """What a reader must know of this page."""
        n, total = sum(map(len, full.values())), sum(len(m.heads) for m in self.modules)
        text = "Each row is a query and sums to 1; its strongly coloured cells are the keys that it attends to."
        if n < total:
            text += f" {n} of {total} heads are here in full; of the others each cell shows the largest weight in it."
            text += "" if room >= ROOM else " A notebook gets few, to stay small: write a page with html() to see more."
        return text

    # The terminal.

    def terminal(self, width: int = WIDTH) -> Text:
        """One head as a shaded matrix, or its strongest pairs where the text is long; or all heads at a glance."""
        if self.head is None:
            return self.heads_in_characters(width)
        T, S = self.weights().shape
        fits = T <= MOST_ROWS and width > S + LONGEST_LABEL
        body = self.matrix_in_characters(width) if fits else self.pairs_in_characters(width)
        return Text(self.title + "\n", "bold").append_text(body)

    def matrix_in_characters(self, width: int) -> Text:
        """Queries down, keys across."""
        queries, keys = self.labels()
        return heat_map(np.asarray(self.weights()), width=width, rows=queries, columns=keys, limits=(0.0, 1.0))

    def pairs_in_characters(self, width: int) -> Text:
        """The strongest pairs as a list."""
        module, _ = self.chosen
        queries, keys = self.tokens[module.stack], self.tokens[module.keys]
        rows = [
            [str(p.query), label(queries[p.query]), "→", str(p.key), label(keys[p.key]), f"{p.weight:.3f}"]
            for p in self.strongest()
        ]
        note = "Without each token's own weight, special tokens and a decoder's first token.\n"
        heading = ["at", "token", "", "at", "attends to", "weight"]
        return table([heading, *rows], right=frozenset({0, 3, 5}), width=width).append(note, "dim")

    def heads_in_characters(self, width: int) -> Text:
        """How decidedly each head looks at other tokens, layer by layer, and the most decided heads."""
        shown = list(self.glance or self.modules)
        scores = {(m.path, head): score for score, m, head in self.ranking}
        heads = sorted({head for m in shown for head in m.heads})
        matrix = np.array([[scores.get((m.path, head), np.nan) for head in heads] for m in shown])
        out = Text(self.title + "\n", "bold")
        out.append("How decidedly each head (across) looks at other tokens: the largest weight, on average.\n", "dim")
        names = [short_name(m) for m in shown]
        limits = (0.0, float(np.nanmax(matrix, initial=0)) or 1.0)
        out.append_text(heat_map(matrix, width=width, rows=names, columns=[str(h) for h in heads], limits=limits))
        best = [(score, m, head) for score, m, head in self.ranking if m in shown][:5]
        rows = [[m.name, str(head), f"{score:.3f}"] for score, m, head in best]
        return out.append_text(table([["layer", "head", "on average"], *rows], right=frozenset({1, 2}), width=width))

    def labels(self) -> tuple[list[str], list[str]]:
        """Of the chosen head's queries and keys."""
        module, head = self.chosen
        T, S = module.of(head).shape
        queries = self.tokens[module.stack][module.first_query : module.first_query + T]
        return [label(token) for token in queries], [label(token) for token in self.tokens[module.keys][:S]]

    # The drawing.

    def draw(self, figure: "Figure") -> None:
        """A heat map with words on both sides, arcs, or all heads at a glance.

        Raises:
            OptionError: arcs of too long a text.
        """
        from clearhead.lens import attention_drawing as drawing

        if self.head is None or self.drawing == "glance":
            drawing.glance(figure, list(self.glance or self.modules), self.title)
            return
        queries, keys = self.labels()
        module, _ = self.chosen
        if self.drawing == "matrix":
            drawing.matrix(figure, self.weights(), queries, keys, self.title)
        elif module.kind == "attention":
            drawing.arcs(figure, self.weights(), keys, module.first_query, self.title)
        else:
            drawing.lines(figure, self.weights(), queries, keys, self.title)


def short_name(module: Module) -> str:
    """A module in a few characters: `3`, or where there are two stacks `dec 3 cross`."""
    return f"{module.stack[:3]} {module.layer}" + (" cross" if module.kind == "cross_attention" else "")


def attention_view(
    trace: Trace,
    layer: int | None = None,
    head: int | None = None,
    module: str | None = None,
    full: Sequence[Head] | None = None,
    drawing: Drawing = "matrix",
) -> AttentionView:
    """Attention of a trace: of one head where `layer` and `head` name it, otherwise of all heads at a glance.

    `module` is a path (`decoder.layers.3.attention`), or which attention is meant where there are several:
    `encoder.attention`, `decoder.attention`, `decoder.cross_attention`. `full` names heads that a page shows in full,
    as (path, head). `drawing` is what PNG and SVG show: `matrix`, `arcs` or `glance`.

    Raises:
        OptionError: a layer, head or module that the trace does not hold, several that may be meant, or no drawing.
    """
    if drawing not in KINDS:
        raise OptionError(f"drawing is {drawing!r}; choose one of {', '.join(KINDS)}")
    found = modules(trace)
    shown = pick(found, module, layer)
    check_full(found, full)
    number = chosen_head(shown, head, trace.config.n_heads)
    return AttentionView(
        modules=found,
        tokens=tokens_of(trace),
        module=shown[0] if len(shown) == 1 else None,
        head=number,
        glance=shown if len(shown) < len(found) else (),
        full=full,
        drawing=drawing,
        about={"name": trace.model} if trace.model else {},
    )


def chosen_head(shown: Sequence[Module], head: int | None, n_heads: int) -> int | None:
    """The number of a head, which may count from the end.

    Raises:
        OptionError: several modules have such a head, or the trace holds none.
    """
    check_index("head", head)
    if head is None:
        return None
    if len(shown) > 1:
        raise OptionError(f"head {head} is one of {len(shown)} modules'; {which(shown)}")
    number = head + n_heads if -n_heads <= head < 0 else head
    shown[0].of(number)
    return number


def check_full(found: Sequence[Module], full: Sequence[Head] | None) -> None:
    """Refuse heads to be shown in full that are not held, and what names no head."""
    by_path = {m.path: m for m in found}
    for head in full or ():
        if isinstance(head, str) or not isinstance(head, Sequence) or len(head) != 2:
            raise OptionError(f"full names {head!r:.60}; give pairs of a module's path and a head's number")
        path, number = head
        if path not in by_path:
            raise OptionError(f"full names {path!r}; the trace holds {', '.join(list(by_path)[:4])} ...")
        by_path[path].of(number)


def which(shown: Sequence[Module]) -> str:
    """How to say which of several modules is meant."""
    groups = dict.fromkeys(m.group for m in shown)
    if len(groups) > 1:
        return f"name one as module: {', '.join(groups)}" + (
            ", and a layer" if len({m.layer for m in shown}) > 1 else ""
        )
    return "name a layer too"
