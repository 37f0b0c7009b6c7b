"""Who has the book? Which heads let a word look at which other words, and how much.

"The teacher taught the student with the book.": if many heads take `book` to `student`, that is a clue to how the model
read the sentence. It is not a proof. Attention says where values were fetched from, not what was done with them, and
weights can be changed much without changing the output (Jain and Wallace, "Attention is not Explanation", 2019,
section 4; but see Wiegreffe and Pinter, "Attention is not not Explanation", 2019).

A word of several tokens looks as its tokens do on average, and is looked at as much as its tokens are together, so that
the weights of all words still sum to 1. T queries, S keys, H heads, W words.
"""

import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from clearhead.errors import OptionError
from clearhead.lens.colours import ACCENT
from clearhead.lens.modules import Module, check_index, modules, tokens_of
from clearhead.lens.payload import Levels, Payload, Token
from clearhead.lens.pooling import peaks
from clearhead.lens.terminal import bar, fit, table
from clearhead.lens.tokens import check_stack
from clearhead.lens.view import WIDTH, View
from clearhead.lens.words import Word, blank, find, indices_of, occurrences, text_of, words
from clearhead.text.printable import one_line
from clearhead.trace import Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXACT, MOST = 1_000_000, 8_000_000  # weights that a page gets as float32, and as levels, to ask about other words
LIMIT = 100  # heads and words ranked
DRAWN = 15
CLUE = "Attention is a clue to what the model took together, not a proof."

Include = Literal["self", "special", "first"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Attends:
    """One head in which the word asked about attends to another."""

    module: str
    layer: int
    head: int
    word: str
    key: int  # the index of the word's first token
    weight: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One of the words that were compared."""

    word: str
    key: int  # the index of its first token
    mean: float  # its share of the attention of the word asked about, averaged over heads
    total: float  # the same, summed over heads
    heads: int  # how many heads give it more than any other candidate


@dataclass(frozen=True, kw_only=True, slots=True)
class Between:
    """Candidates compared, the one that gets most attention first."""

    word: str  # the word asked about
    candidates: tuple[Candidate, ...]
    n_heads: int
    unseen: tuple[str, ...] = ()  # candidates after the word, which a decoder cannot look at

    @property
    def winner(self) -> str | None:
        """The word with the most attention; None where two have the same."""
        first, second = self.candidates[:2]
        return first.word if first.total > second.total else None

    def __str__(self) -> str:
        """What was found, and how far it can be trusted."""
        shares = ", ".join(f'{c.mean:.1%} to "{c.word}" (most in {c.heads})' for c in self.candidates)
        text = f'Over {self.n_heads} heads, "{self.word}" gives {shares}. '
        if self.unseen:
            later = ", ".join(f'"{word}"' for word in self.unseen)
            text += f'{later} stands after "{self.word}", where a decoder cannot look; ask about the later word. '
        return text + CLUE + " Nearer words and a text's first word often get more in any case."


@dataclass(kw_only=True, repr=False)
class WhoView(View):
    """The attention of one word to others, over all heads."""

    type: ClassVar[str] = "who"
    label = "Who looks where"
    height: ClassVar[int] = 640

    modules: Sequence[Module]  # with the same queries and the same keys
    tokens: Mapping[str, Sequence[Token]]  # by stack
    word: Sequence[int]  # indices of its tokens, among the queries
    target: Sequence[int] | None = None  # the one other word that is looked for
    include: Collection[Include] = ()
    limit: int = LIMIT
    question: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:  # type: ignore[override]
        """The question; with the place of a word that stands several times in the text."""
        said = f'"{text_of(self.queries, self.word)}"'
        if len(occurrences(self.queries, text_of(self.queries, self.word))) > 1:
            said += f" ({self.word[0]})"
        return self.question or f"What {said} attends to"

    @property
    def model(self) -> dict[str, Any]:
        return dict(self.about)

    @property
    def queries(self) -> Sequence[Token]:
        """The tokens among which the word stands."""
        return self.tokens[self.modules[0].stack]

    @property
    def keys(self) -> Sequence[Token]:
        """The tokens that it looks at."""
        return self.tokens[self.modules[0].keys]

    def to(self, word: Sequence[int]) -> NDArray[np.float64]:
        """[heads of all modules] how much of its attention the word asked about gives another."""
        return np.concatenate([self.rows(m)[:, list(word)].sum(axis=1) for m in self.modules])

    def rows(self, module: Module) -> NDArray[np.float64]:
        """[H, S] where the word asked about looks, head by head: the mean of its tokens' rows."""
        rows = [t - module.first_query for t in self.word]
        mean: NDArray[np.float64] = module.weights[:, rows].mean(axis=1, dtype=np.float64)
        return mean

    @cached_property
    def others(self) -> list[list[int]]:
        """[W] the tokens of each word that is ranked."""
        if self.target is not None:
            return [list(self.target)]
        module = self.modules[0]
        n = module.weights.shape[2]
        own = set(self.word) if module.kind == "attention" and "self" not in self.include else set()
        hidden = own.union(self.hidden)
        return [word for word in words(self.keys[:n]) if not hidden & set(word)]

    @cached_property
    def hidden(self) -> list[int]:
        """Keys that are never ranked, whatever the word: special tokens and blanks, and a decoder's first word."""
        found = set[int]()
        for n, word in enumerate(words(self.keys)):
            sign = any(self.keys[i].special for i in word) or blank(self.keys, word)
            if (sign and "special" not in self.include) or (n == 0 and self.first_is_out):
                found.update(word)
        return sorted(found)

    @property
    def first_is_out(self) -> bool:
        """Whether the first word is left out."""
        return self.modules[0].causal and "first" not in self.include

    @cached_property
    def ranked(self) -> list[Attends]:
        """The largest weights over all heads and words, the largest first; at most `limit`, and all above 0."""
        if not self.others:
            return []
        members = [i for word in self.others for i in word]
        starts = np.cumsum([0, *map(len, self.others[:-1])])
        weights = np.concatenate(
            [np.add.reduceat(self.rows(m)[:, members], starts, axis=1) for m in self.modules]
        )  # [heads of all modules, W]
        heads = [(m, head) for m in self.modules for head in m.heads]
        return [self.attends(heads[h], self.others[w], weights[h, w]) for h, w in peaks(weights, self.limit)]

    def attends(self, place: tuple[Module, int], word: Sequence[int], weight: float) -> Attends:
        """One entry of the ranking."""
        module, head = place
        return Attends(
            module=module.path,
            layer=module.layer,
            head=head,
            word=text_of(self.keys, word),
            key=word[0],
            weight=float(weight),
        )

    def between(self, candidates: Sequence[Word]) -> Between:
        """Which of several words gets most of this word's attention, over all heads.

        Raises:
            OptionError: fewer than two candidates, or one that is not in the text.
        """
        if isinstance(candidates, str) or len(candidates) < 2:
            raise OptionError(f"candidates is {candidates!r}; give a list of two words or more")
        found = [find_key(self.modules[0], self.keys, self.word, word) for word in candidates]
        weights = np.stack([self.to(word) for word in found])  # [candidates, heads]
        best = np.where(weights.max(axis=0) > np.sort(weights, axis=0)[-2], weights.argmax(axis=0), -1)
        named = [
            Candidate(
                word=text_of(self.keys, word),
                key=word[0],
                mean=float(weights[i].mean()),
                total=float(weights[i].sum()),
                heads=int((best == i).sum()),
            )
            for i, word in enumerate(found)
        ]
        later = [text_of(self.keys, word) for word in found if self.modules[0].causal and word[0] > max(self.word)]
        return Between(
            word=text_of(self.queries, self.word),
            candidates=tuple(sorted(named, key=lambda c: -c.total)),
            n_heads=weights.shape[1],
            unseen=tuple(later),
        )

    def fill(self, payload: Payload) -> dict[str, Any]:
        """The ranking, and where the text is short all rows, so that other words can be asked about."""
        lists = {stack: payload.put_tokens(stack, tokens) for stack, tokens in self.tokens.items()}
        total = sum(m.weights.size for m in self.modules)
        levels: Levels = "linear" if total <= min(EXACT, payload.room // 4) else "sqrt"
        rows = (
            {m.path: payload.put(f"{m.path}.weights", m.weights, levels=levels) for m in self.modules}
            if total <= min(MOST, payload.room)
            else None
        )
        first = self.modules[0]
        return {
            "note": self.note,
            "list": lists[first.stack],
            "keysList": lists[first.keys],
            "word": self.word[0],
            "wordTokens": list(self.word),
            "target": None if self.target is None else list(self.target),
            "include": list(self.include),
            "ranked": [
                {"module": a.module, "layer": a.layer, "head": a.head, "key": a.key, "weight": a.weight}
                for a in self.ranked
            ],
            "rows": rows,
            "heads": {m.path: list(m.heads) for m in self.modules},
            "firstQuery": first.first_query,
            "question": self.question,
            "words": words(self.keys),
            "leftOut": self.hidden,
        }

    @property
    def figures(self) -> dict[str, Any]:
        """The ranking."""
        return {
            "type": self.type,
            "title": self.title,
            "word": text_of(self.queries, self.word),
            "tokens": list(self.word),
            "ranked": [asdict(found) for found in self.ranked],
            "note": self.note,
        }

    @property
    def note(self) -> str:
        """How to read the ranking, which words are not in it, and why it is empty where it is."""
        return " ".join(part for part in (CLUE, self.left_out, self.nothing) if part)

    @property
    def left_out(self) -> str:
        """Which words are not ranked."""
        if self.target is not None:
            return ""
        itself = "self" not in self.include and self.modules[0].kind == "attention"
        names = ["the word itself"] if itself else []
        names += [] if "special" in self.include else ["special tokens and blanks"]
        names += ["the first word, on whose first token idle heads rest"] if self.first_is_out else []
        return f"Left out: {', '.join(names)}." if names else ""

    @property
    def nothing(self) -> str:
        """Why no word is ranked, where none is."""
        if self.ranked:
            return ""
        word = text_of(self.queries, self.word)
        module = self.modules[0]
        if self.target is not None:
            after = module.causal and self.target[0] > max(self.word)
            reason = "it stands later, where a decoder cannot look" if after else "every weight is 0"
            return f'No head takes "{word}" to "{text_of(self.keys, self.target)}": {reason}.'
        before = f'before "{word}"' if module.causal else "in the text"
        return f"Nothing stands {before} but what is left out."

    def terminal(self, width: int = WIDTH) -> Text:
        """The ranking with bars."""
        out = Text(f"{fit(self.title, width)}\n", "bold")
        heading = ["word", "at", "layer", "head", "weight", ""]
        rows = [
            [a.word, str(a.key), place(a), str(a.head), f"{a.weight:.3f}", bar(a.weight, 20)]
            for a in self.ranked[:DRAWN]
        ]
        if rows:
            out.append_text(table([heading, *rows], right=frozenset({1, 3, 4}), width=width))
        notes = [line for text in (self.nothing, self.left_out, CLUE) for line in textwrap.wrap(text, width)]
        return out.append("".join(f"{line}\n" for line in notes), "dim")

    def draw(self, figure: "Figure") -> None:
        """The top of the ranking as bars."""
        from clearhead.lens.painting import shortened

        found = self.ranked[:DRAWN]
        axes = figure.subplots()
        if not found:
            axes.text(0.5, 0, self.nothing, ha="center", va="center", size=8, parse_math=False)
        axes.barh(range(len(found)), [a.weight for a in found], color=ACCENT, height=0.7)
        names = [f"{shortened(a.word)} ({a.key})   layer {place(a)}, head {a.head}" for a in found]
        axes.set_yticks(range(len(found)), names, parse_math=False)
        axes.set(xlim=(0, 1), xlabel="attention weight", ylim=(max(1, len(found)) - 0.4, -0.6))
        axes.set_title(self.title, parse_math=False)
        axes.spines[["top", "right"]].set_visible(False)
        figure.set_size_inches(6.4, 1.2 + 0.24 * max(1, len(found)))


def place(found: Attends) -> str:
    """The layer of an entry, and its stack."""
    return f"{found.layer} ({found.module.split('.')[0]}{', cross' if 'cross_' in found.module else ''})"


def who_view(
    trace: Trace,
    word: Word,
    target: Word | None = None,
    *,
    stack: str | None = None,
    cross: bool = False,
    include: Collection[Include] = (),
    limit: int = LIMIT,
    question: str | None = None,
) -> WhoView:
    """Which heads take a word to which others, the largest weight first; to `target` alone where one is named.

    A word is a text, the index of a token, or the indices of several. Beside an encoder, `cross` looks from a word of
    the decoder's text to those of the encoder's; `stack` says whose text the word stands in, where both have it. The
    word itself, special tokens and a decoder's first token are left out unless they are in `include` ("self",
    "special", "first"). A `question` stands above it all.

    Raises:
        OptionError: a word that is not in the text or is there several times, a trace without the attention that is
            asked for, or a wrong option.
    """
    check_index("limit", limit)
    if wrong := [name for name in include if name not in ("self", "special", "first")]:
        raise OptionError(f"include names {one_line(str(wrong[0]))!r}; choose among self, special and first")
    tokens = tokens_of(trace)
    indices, found = asked(trace, tokens, word, None if stack is None else check_stack(trace, stack), cross)
    return WhoView(
        modules=found,
        tokens=tokens,
        word=indices,
        target=None if target is None else find_key(found[0], tokens[found[0].keys], indices, target),
        include=include,
        limit=limit,
        question=None if question is None else one_line(question),
        about={"name": trace.model} if trace.model else {},
    )


def asked(
    trace: Trace, tokens: Mapping[str, Sequence[Token]], word: Word, stack: str | None, cross: bool
) -> tuple[list[int], list[Module]]:
    """The tokens of the word that is asked about, and the modules in which it looks at others; errors as `who_view`."""
    place = "decoder" if cross else stack or standing(tokens, word)
    kind = "cross_attention" if cross else "attention"
    found = [m for m in modules(trace) if m.stack == place and m.kind == kind]
    if not found:
        raise OptionError(f"the trace holds no {kind} of the {place}; see trace.attentions()")
    indices = find(tokens[place], word)
    first = found[0].first_query
    if outside := [i for i in indices if not 0 <= i - first < found[0].weights.shape[1]]:
        raise OptionError(f"token {outside[0]} was read before the trace began, at token {first}")
    return indices, found


def find_key(module: Module, keys: Sequence[Token], word: Sequence[int], other: Word) -> list[int]:
    """Where another word stands; of several places in a decoder's text, those that `word` can look at count."""
    seen = keys[: max(word) + 1] if module.causal else keys
    return find(seen if isinstance(other, str) and occurrences(seen, other) else keys, other)


def standing(tokens: Mapping[str, Sequence[Token]], word: Word) -> str:
    """The stack in whose text a word stands.

    Raises:
        OptionError: both may be meant.
    """
    if not isinstance(word, str):
        indices_of(word)  # of another type than a word has, it is of neither
    if len(tokens) == 1:
        return next(iter(tokens))
    holds = [stack for stack, found in tokens.items() if not isinstance(word, str) or occurrences(found, word)]
    if len(holds) > 1:
        raise OptionError(f"{word!r} may be of both texts; name stack='encoder' or stack='decoder'")
    return holds[0] if holds else "encoder"
