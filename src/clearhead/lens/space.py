"""Words as points: vectors of any origin laid out in three dimensions, with the angles and distances between them.

Vectors come from anywhere: `clearhead.lens.neighbours` has those of a model's words, `of_trace` those of a text's
tokens. n words, C numbers to a vector.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.text import Text

from clearhead.errors import OptionError
from clearhead.lens.modules import check_index
from clearhead.lens.payload import Payload, Token
from clearhead.lens.reduction import reduced
from clearhead.lens.terminal import fit, heat_map, table
from clearhead.lens.tokens import check_stack, tokens_in
from clearhead.lens.vectors import Relation, angles, cosines, distances, relation, unit
from clearhead.lens.view import WIDTH, View
from clearhead.text.printable import one_line
from clearhead.trace import Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Doubles = NDArray[np.float64]
MOST_WORDS = 1000
TABLE = 8  # words whose cosines a terminal shows as numbers
PLACES = 4  # of a token that occurs again, named in its label
KINDS = ("given", "written by the model", "given, and written too", "special")  # of a text's tokens
SCATTER = 18  # lines of the small scatter plot in a terminal
Word = str | int  # a word, or its place among the words, for words that occur twice


@dataclass(frozen=True, kw_only=True, slots=True)
class Near:
    """A word beside another, and the cosine of the angle between them."""

    label: str
    cosine: float
    piece: str | None = None  # as the vocabulary spells it, where it is a token
    id: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Analogy:
    """a is to b as c is to the results, the best of them first."""

    a: str
    b: str
    c: str
    results: tuple[Near, ...]


@dataclass(frozen=True, kw_only=True, repr=False)
class Space(View):
    """Words as points in three dimensions; made by `space`."""

    type: ClassVar[str] = "space"
    label = "Words in space"
    height: ClassVar[int] = 640
    size: ClassVar[tuple[float, float]] = (7.2, 6.4)

    words: tuple[str, ...]
    vectors: Doubles  # [n, C]
    points: Doubles  # [n, 3]
    explained: tuple[float, ...] | None  # the share of the variance along each axis
    method: str
    where: str  # "input embedding", "layer 3"
    groups: tuple[int, ...] | None = None  # colours
    group_names: tuple[str, ...] = ()  # what each of them means, where they mean something
    neighbours: tuple[tuple[Near, ...], ...] = ()  # of the first words; all others have theirs among the words
    analogies: tuple[Analogy, ...] = ()
    source: str = ""  # the model

    @property
    def title(self) -> str:  # type: ignore[override]
        """What is shown."""
        return f"Words in the {self.where}" if self.where.startswith("input") else f"Words after {self.where}"

    @property
    def model(self) -> dict[str, Any]:
        """Whose vectors these are."""
        return {"name": self.source} if self.source else {}

    @cached_property
    def cosines(self) -> Doubles:
        """[n, n]: between any two words."""
        return cosines(self.vectors)

    @cached_property
    def distances(self) -> Doubles:
        """[n, n]: Euclidean, between any two words."""
        return distances(self.vectors)

    def place(self, word: Word) -> int:
        """Where a word stands among the words.

        Raises:
            OptionError: a word, or a place, that is not there.
        """
        if isinstance(word, str) and word in self.words:
            return self.words.index(word)
        if not isinstance(word, str) and 0 <= word < len(self.words):
            return int(word)
        known = ", ".join(one_line(w) for w in self.words[:8]) + (", ..." if len(self.words) > 8 else "")
        raise OptionError(f"{word!r:.60} is not among the words; they are {known}")

    def between(self, a: Word, b: Word) -> Relation:
        """Angle, cosine and distance between two words; errors as `place`."""
        return relation(self.vectors[self.place(a)], self.vectors[self.place(b)])

    def nearest(self, word: Word, top: int = 10) -> list[Near]:
        """The nearest of the other words; errors as `place`."""
        own = self.place(word)
        return self.ranked(self.cosines[own], {own}, top)

    def analogy(self, a: Word, b: Word, c: Word, top: int = 5) -> list[Near]:
        """Of the other words, those nearest to b - a + c, all of length 1 (Mikolov et al. 2013; Levy and Goldberg 2014,
        3CosAdd); errors as `place`."""
        i, j, k = (self.place(word) for word in (a, b, c))
        directions = unit(self.vectors)
        return self.ranked(directions @ unit(directions[j] - directions[i] + directions[k]), {i, j, k}, top)

    def ranked(self, scores: Doubles, without: set[int], top: int) -> list[Near]:
        """The words of the highest scores; equal ones in the order of the words."""
        order = [int(i) for i in np.argsort(-scores, kind="stable") if int(i) not in without]
        return [Near(label=one_line(self.words[i]), cosine=float(scores[i])) for i in order[:top]]

    @property
    def listed(self) -> list[tuple[Near, ...]]:
        """The neighbours shown for each word."""
        rest = range(len(self.neighbours), len(self.words))
        return [*self.neighbours, *(tuple(self.nearest(i)) for i in rest)]

    @property
    def figures(self) -> dict[str, Any]:
        """All numbers as plain lists, for `--json`."""
        return {
            "words": list(self.words),
            "space": self.where,
            "method": self.method,
            "explained": None if self.explained is None else list(self.explained),
            "points": self.points.tolist(),
            "cosines": self.cosines.tolist(),
            "angles_degrees": np.degrees(angles(self.vectors)).tolist(),
            "distances": self.distances.tolist(),
            "neighbours": list(self.listed),
            "analogies": list(self.analogies),
            "groups": None if self.groups is None else list(self.groups),
            "group_names": list(self.group_names),
        }

    def fill(self, payload: Payload) -> dict[str, Any]:
        """Points, cosines, distances and neighbours."""
        name = f"space/{len(payload.views)}"
        fields: dict[str, Any] = {
            "method": self.method,
            "labels": [one_line(word) for word in self.words],
            "pointsKey": payload.put(f"{name}/points", self.points, dtype="f32"),
            "cosineKey": payload.put(f"{name}/cosines", self.cosines, dtype="f32"),
            "distanceKey": payload.put(f"{name}/distances", self.distances, dtype="f32"),
            "neighbours": [[{"label": n.label, "cosine": n.cosine} for n in near] for near in self.listed],
            "explained": None if self.explained is None else list(self.explained),
            "space": self.where,
        }
        if self.groups is not None:
            fields["colours"] = list(self.groups)
        if self.group_names:
            fields["groups"] = {"names": list(self.group_names)}
        if self.analogies:
            fields["analogies"] = [
                {"a": x.a, "b": x.b, "c": x.c, "results": [{"label": n.label, "cosine": n.cosine} for n in x.results]}
                for x in self.analogies
            ]
        return fields

    def draw(self, figure: "Figure") -> None:
        """The points with their words, in three dimensions."""
        from clearhead.lens.painting import shortened

        axes = figure.add_subplot(projection="3d")
        groups = np.array(self.groups or [0] * len(self.words))
        for group in np.unique(groups).tolist():
            name = self.group_names[group] if self.group_names else None
            axes.scatter(*self.points[groups == group].T, color=f"C{group % 10}", s=18, depthshade=False, label=name)
        if self.group_names:
            axes.legend(frameon=False, fontsize=7, loc="upper left")
        for word, point in zip(self.words, self.points, strict=True):
            axes.text(*point, " " + shortened(word), fontsize=7, parse_math=False)
        for axis, share in zip((axes.xaxis, axes.yaxis, axes.zaxis), self.explained or ("", "", ""), strict=True):
            axis.set_ticklabels([])
            axis.set_label_text(f"{share:.0%} of the variance" if isinstance(share, float) else "")
        axes.set_title(self.title)

    def terminal(self, width: int = WIDTH) -> Text:
        """Cosines, neighbours and analogies, and a small scatter plot."""
        out = Text().append(fit(self.title, width) + "\n", "bold")
        if len(self.words) > 1:
            out.append("\ncosine\n", "dim").append_text(self.cosine_table(width))
            out.append("\n").append_text(self.scatter(width)).append("\n")
        most = len(self.neighbours) or TABLE
        for word, near in zip(self.words[:most], self.listed[:most], strict=False):
            out.append(line(f"near {word}", near, width))
        for x in self.analogies:
            out.append(line(f"{x.a} is to {x.b} as {x.c} is to", x.results, width))
        return out

    def cosine_table(self, width: int) -> Text:
        """Numbers of few words, shades of many."""
        labels = [fit(word, 14) for word in self.words]
        if len(self.words) > TABLE or (len(self.words) + 1) * 9 > width:
            return heat_map(self.cosines, rows=labels, columns=labels, width=width)
        names = [fit(word, 9) for word in self.words]
        rows = [["", *names]]
        rows += [[label, *(f"{c:.3f}" for c in row)] for label, row in zip(labels, self.cosines, strict=True)]
        return table(rows, right=frozenset(range(1, len(rows))), width=width)

    def scatter(self, width: int) -> Text:
        """The first two axes, each word at its point; a word that would cover another is a dot."""
        across, down = (scaled(self.points[:, axis]) for axis in (0, 1))
        lines: list[list[str | None]] = [[None] * width for _ in range(SCATTER)]  # None where nothing stands yet
        for word, x, y in zip(self.words, across, down, strict=True):
            row = lines[round((1 - y) * (SCATTER - 1))]
            label = "• " + fit(word, 14)
            column = min(round(x * (width - 1)), width - 1)
            start = column if column + cell_len(label) <= width else max(0, width - cell_len(label))
            room = row[start : start + cell_len(label) + 1]
            if all(cell is None for cell in room):
                row[start : start + cell_len(label)] = [*label, *[""] * (cell_len(label) - len(label))]
            elif row[column] is None:
                row[column] = "·"
        return Text(
            "".join("".join(cell if cell is not None else " " for cell in row).rstrip() + "\n" for row in lines)
        )


def line(what: str, near: Sequence[Near], width: int) -> str:
    """One line of words with their cosines, as many as fit; nothing where there are none."""
    text = f"{one_line(what)}:"
    for n in near:
        more = f"{',' if text[-1] != ':' else ''} {n.label} {n.cosine:.2f}"
        if cell_len(text + more) > width:
            break
        text += more
    return fit(text, width) + "\n" if near else ""


def scaled(values: Doubles) -> Doubles:
    """Values moved and stretched to 0 to 1; equal ones to the middle."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.full_like(values, 0.5)


def space(
    words: Sequence[str],
    vectors: NDArray[Any],
    *,
    method: str = "pca",
    where: str = "input embedding",
    groups: Sequence[int] | None = None,
    group_names: Sequence[str] = (),
    neighbours: Sequence[Sequence[Near]] = (),
    analogies: Sequence[Analogy] = (),
    model: str = "",
) -> Space:
    """Words [n] with a vector each [n, C], laid out by "pca" or "umap".

    `groups` colours the points, and `group_names` says what each of them is; `neighbours` are shown for the first
    words, such as those of a whole vocabulary.

    Raises:
        OptionError: no words or too many, vectors that do not belong to them or are not finite, or an unknown method.
        UnsupportedError: UMAP without its package.
    """
    found = np.asarray(vectors, np.float64)
    check_words(words, found)
    check_groups(groups, group_names, len(words))
    points, explained = reduced(found, method)
    return Space(
        words=tuple(words),
        vectors=found,
        points=points,
        explained=None if explained is None else tuple(float(share) for share in explained),
        method=method,
        where=where,
        groups=None if groups is None else tuple(groups),
        group_names=tuple(group_names),
        neighbours=tuple(tuple(near) for near in neighbours),
        analogies=tuple(analogies),
        source=model,
    )


def check_words(words: Sequence[str], vectors: Doubles) -> None:
    """Refuse words without vectors, and vectors without words."""
    if isinstance(words, str) or not 1 <= len(words) <= MOST_WORDS:
        given = repr(words)[:40] if isinstance(words, str) else f"{len(words):,}"
        raise OptionError(f"words must be a list of 1 to {MOST_WORDS:,}, not {given}")
    if vectors.ndim != 2 or len(vectors) != len(words) or not vectors.shape[1]:
        raise OptionError(f"{len(words)} words need as many vectors, not an array of shape {list(vectors.shape)}")
    if not np.isfinite(vectors).all():
        raise OptionError("a vector holds a number that is not finite; nothing can be measured from it")


def check_groups(groups: Sequence[int] | None, names: Sequence[str], n: int) -> None:
    """Refuse groups that are not those of `n` words, or that lack a name where some have one."""
    if groups is not None and len(groups) != n:
        raise OptionError(f"{n} words need as many groups, not {len(groups)}")
    if names and not all(0 <= group < len(names) for group in groups or ()):
        raise OptionError(f"groups are 0 to {max(groups or [0])}, and {len(names)} have a name")


def of_trace(trace: Trace, layer: int | None = None, *, stack: str | None = None, method: str = "pca") -> Space:
    """The tokens of a text as points: their embeddings, or what a layer made of them (-1 is the last).

    Equal tokens that have the same vector, as at the input embedding, are one point; its label names their places, and
    so does that of a word that occurs again with another vector. Colours tell tokens that were given from those that
    the model wrote, and from special ones.

    Raises:
        OptionError: a layer or stack that the model lacks or the trace did not keep, or a text of too many tokens.
        UnsupportedError: UMAP without its package.
    """
    c, stack = trace.config, check_stack(trace, stack)
    depth = c.n_encoder_layers if stack == "encoder" else c.n_decoder_layers
    check_index("layer", layer)
    if layer is not None and not -depth <= layer < depth:
        raise OptionError(f"layer is {layer!r}; the {stack} has layers 0 to {depth - 1}")
    path = f"{stack}.embed.tokens" if layer is None else f"{stack}.layers.{layer % depth}.output"
    vectors, first = trace[path], trace.spans[stack].first
    tokens = tokens_in(trace, stack)[first:]
    points = equal(tokens, vectors)
    kinds = [kind([tokens[i] for i in point]) for point in points]
    used = sorted(set(kinds))
    return space(
        labelled(tokens, points, first),
        vectors[[point[0] for point in points]],
        method=method,
        where="input embedding" if layer is None else f"layer {layer % depth}",
        groups=[used.index(kind) for kind in kinds],
        group_names=[KINDS[kind] for kind in used],
        model=trace.model,
    )


def equal(tokens: Sequence[Token], vectors: NDArray[Any]) -> list[list[int]]:
    """The places of each token that has a vector of its own, in the order of the text."""
    found: dict[tuple[int, bytes], list[int]] = {}
    for i, (token, vector) in enumerate(zip(tokens, vectors, strict=False)):
        found.setdefault((token.id, vector.tobytes()), []).append(i)
    return list(found.values())


def kind(tokens: Sequence[Token]) -> int:
    """Which of `KINDS` equal tokens are."""
    if tokens[0].special:
        return 3
    written = {token.generated for token in tokens}
    return 2 if len(written) > 1 else int(written.pop())


def labelled(tokens: Sequence[Token], points: Sequence[Sequence[int]], first: int) -> list[str]:
    """What each point is called: its word, with its places in the text where that occurs again."""
    words = [token.text.strip() or token.piece for token in tokens]
    counts = Counter(words)
    return [
        f"{words[point[0]]} ({some(point, first)})" if counts[words[point[0]]] > 1 else words[point[0]]
        for point in points
    ]


def some(point: Sequence[int], first: int) -> str:
    """The places of a point, the first few of many."""
    named = ", ".join(str(i + first) for i in point[:PLACES])
    return named if len(point) <= PLACES else f"{named} and {len(point) - PLACES} more"
