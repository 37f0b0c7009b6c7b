"""Lines of text through a model that translates, with all that a line has beside its sentences left in place.

Every sentence of a line is translated for itself: such models learn from single sentences. What is still too long for
the context window is cut between clauses, and all parts are translated. Spaces around sentences stay, and so do empty
lines. The translators included here read a sentence in capitals in small letters, and its translation is put in
capitals. Sentences of about one length go through the model together, whatever lines they come from.

A translation may be `EXTRA` tokens longer than its source, as in the paper (Vaswani et al. 2017, section 6.1).
"""

import heapq
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from clearhead.config import GenerationConfig, check_number
from clearhead.engine.model import Model
from clearhead.errors import OptionError
from clearhead.generation.generate import generate
from clearhead.generation.prefill import Cancelled, never
from clearhead.generation.prompts import encode_sources
from clearhead.generation.records import Generation
from clearhead.tasks.capitals import calmed, is_shouted
from clearhead.tasks.translators import Card
from clearhead.text.sentences import cut, sentences

BEAMS = 4
EXTRA = 50  # tokens by which a translation may be longer than its source
ROWS = 64  # sentences that go through the model together
BYTE = re.compile(r"<0x[0-9A-F]{2}>")  # how a vocabulary spells a byte
LINES = 256  # that are read before the first is written
WITHOUT_SPACES = frozenset({"zh", "ja", "th", "lo", "km", "my", "yue"})  # languages that put none between sentences


@dataclass(frozen=True, kw_only=True, slots=True)
class Alternative:
    """One way to translate a line."""

    text: str
    score: float  # the mean of its sentences' scores, each a log-probability over length ** length_penalty


@dataclass(frozen=True, kw_only=True, slots=True)
class Translation:
    """One line, translated."""

    source: str
    alternatives: tuple[Alternative, ...]  # the best first
    parts: int  # sentences, and parts of sentences that were too long
    complete: bool  # False: the model did not end one of them in the room it had
    strange: tuple[str, ...] = ()  # characters that its vocabulary has no piece for

    @property
    def text(self) -> str:
        """The best translation."""
        return self.alternatives[0].text


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """How translations are looked for; `n` is how many of each line are wanted."""

    beams: int = BEAMS
    length_penalty: float = 1.0
    n: int = 1

    def config(self, max_new_tokens: int) -> GenerationConfig:
        """As generation takes it; errors as `search`."""
        return GenerationConfig(
            max_new_tokens=max_new_tokens, beams=self.beams, length_penalty=self.length_penalty, n=self.n, logprobs=0
        )


def search(beams: int | None = None, length_penalty: float = 1.0, alternatives: int = 1) -> Search:
    """How to look: with as many beams as alternatives at least, unless a number is given.

    Raises:
        OptionError: an impossible number, or more alternatives than beams.
    """
    check_number("alternatives", alternatives, 1, 256, whole=True)
    made = Search(
        beams=max(BEAMS, alternatives) if beams is None else beams, length_penalty=length_penalty, n=alternatives
    )
    if beams is not None and alternatives > beams >= 1:
        raise OptionError(f"alternatives {alternatives} exceed beams {beams}; the search keeps as many as beams")
    made.config(1)
    return made


@dataclass(frozen=True, slots=True)
class Part:
    """What the model reads at a time, and the spaces after it."""

    text: str
    ids: list[int]
    gap: str
    shouted: bool = False  # it was in capitals


@dataclass(frozen=True, slots=True)
class Parts:
    """A line, taken apart."""

    line: str
    before: str
    parts: list[Part]


@dataclass(frozen=True, kw_only=True, slots=True)
class Translator:
    """A model that translates, and the languages it is asked for. Made by `translate.open_translator`."""

    model: Model
    from_: str | None  # None: the model does not say
    to: str
    card: Card | None = None  # of a bundled translator

    def lines(
        self,
        lines: Iterable[str],
        how: Search = Search(),
        cancelled: Cancelled = never,
    ) -> Iterator[Translation]:
        """Each line's translation, in order, as they are ready; none that is unfinished when `cancelled` says so."""
        waiting = iter(lines)
        while some := list(islice(waiting, LINES)):
            apart = [self.apart(line) for line in some]
            said = self.said([part for line in apart for part in line.parts], how, cancelled)
            if said is None:
                return
            following = iter(said)
            for line in apart:
                yield self.together(line, list(islice(following, len(line.parts))), how)

    def apart(self, line: str) -> Parts:
        """A line as the parts that the model reads."""
        core = line.strip()
        if not core:
            return Parts(line, line, [])
        start = line.index(core[0])
        found = []
        for sentence in sentences(line[start:]):
            shouted = self.card is not None and is_shouted(sentence)
            for text in cut(calmed(sentence, self.from_) if shouted else sentence, self.fits):
                kept = text.strip()
                if kept:
                    found.append(Part(kept, self.encode(kept), text[len(text.rstrip()) :], shouted))
        return Parts(line, line[:start], found)

    def encode(self, text: str) -> list[int]:
        """Ids of a text; what looks like a special token in it is text."""
        return self.model.tokenizer.encode(text, parse_special=False)

    def fits(self, text: str) -> bool:
        """Whether the model has room for a text and for a translation twice as long."""
        return len(self.encode(text.strip())) <= max(1, self.model.config.max_positions // 2)

    def said(self, parts: list[Part], how: Search, cancelled: Cancelled) -> list[list[Generation]] | None:
        """What the model makes of each part, the best first; None where it was cancelled."""
        order = sorted(range(len(parts)), key=lambda i: -len(parts[i].ids))
        found: list[list[Generation]] = [[] for _ in parts]
        for first in range(0, len(order), ROWS):
            some = order[first : first + ROWS]
            if cancelled():
                return None
            for i, made in zip(some, self.batch([parts[i].ids for i in some], how, cancelled), strict=True):
                found[i] = made
        return None if cancelled() else found

    def batch(self, sources: list[list[int]], how: Search, cancelled: Cancelled) -> list[list[Generation]]:
        """What the model makes of a few sources at once, each with room by its own length."""
        model = self.model
        room = [min(len(ids) + EXTRA, model.config.max_positions - 1) for ids in sources]
        starts, memory = encode_sources(model.executor, sources, model.special)
        return generate(
            model.executor,
            starts,
            how.config(max(room)),
            model.special,
            memory=memory,
            stop=lambda row, _sample, ids: len(ids) >= room[row],
            cancelled=cancelled,
        )

    def together(self, line: Parts, said: list[list[Generation]], how: Search) -> Translation:
        """A line's translations from those of its parts: the best of each, then with the least loss others."""
        ways = [(0.0, line.before)]
        for part, made in zip(line.parts, said, strict=True):
            gap = self.gap(part, part is line.parts[-1])
            options = [(score(each, how.length_penalty), self.text(each, part) + gap) for each in made]
            joined = ((a + b, before + after) for a, before in ways for b, after in options)
            ways = heapq.nlargest(how.n, joined, key=lambda way: way[0])
        different = {text: total for total, text in reversed(ways)}
        ranked = sorted(different.items(), key=lambda item: -item[1])
        return Translation(
            source=line.line,
            alternatives=tuple(Alternative(text=text, score=total / max(1, len(said))) for text, total in ranked),
            parts=len(said),
            complete=all(made[0].end_token is not None for made in said),
            strange=self.strange(line.line),
        )

    def strange(self, line: str) -> tuple[str, ...]:
        """The characters of a line that are read byte by byte, or as the unknown one."""
        if not self.is_guessed(line):
            return ()
        return tuple(sorted(letter for letter in set(line) if letter.isprintable() and self.is_guessed(letter)))

    def is_guessed(self, text: str) -> bool:
        """Whether the vocabulary lacks a piece for something in a text."""
        tokenizer = self.model.tokenizer
        ids = tokenizer.encode(text, add_special_tokens=False, parse_special=False)
        unknown = not tokenizer.special_ids.isdisjoint(ids)  # for no other special token is read in a text
        return unknown or any(map(BYTE.fullmatch, tokenizer.pieces(ids)))

    def gap(self, part: Part, last: bool) -> str:
        """The spaces after a part, as its new language writes them."""
        if last:
            return part.gap
        return ("" if part.gap == " " else part.gap) if self.to in WITHOUT_SPACES else part.gap or " "

    def text(self, made: Generation, part: Part) -> str:
        """The words of one translation, on one line whatever the model says."""
        text = " ".join(self.model.tokenizer.decode(list(made.text_tokens)).split("\n")).strip()
        return text.upper() if part.shouted else text


def score(made: Generation, length_penalty: float) -> float:
    """What a beam search ranks by; the same for a single path."""
    return (made.cumulative_logprob or 0.0) / math.pow(max(1, len(made.tokens)), length_penalty)
