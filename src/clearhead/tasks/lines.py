"""Lines of text through a model that translates, with all that a line has beside its sentences left in place.

Every sentence of a line is translated for itself: such models learn from single sentences. What is still too long for
the context window is cut between clauses, and all parts are translated. Spaces around sentences stay, and so do empty
lines. The translators included here read a sentence in capitals in small letters, and its translation is put in
capitals. Sentences of about one length go through the model together, whatever lines they come from, and one that
comes again is translated once.

A translation may be `EXTRA` tokens longer than its source, as in the paper (Vaswani et al. 2017, section 6.1).
"""

import heapq
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from clearhead.config import GenerationConfig, check_number
from clearhead.engine.model import Model
from clearhead.errors import OptionError
from clearhead.generation.generate import generate
from clearhead.generation.prefill import Cancelled, never
from clearhead.generation.prompts import encode_sources
from clearhead.generation.records import Generation
from clearhead.tasks.capitals import calmed, in_capitals, is_shouted
from clearhead.tasks.translation.alignment import Aligned, align
from clearhead.tasks.translation.glossary import Glossary, applied
from clearhead.tasks.translation.records import Alternative, Part, Parts, Said, Translation
from clearhead.tasks.translators import Card
from clearhead.text.sentences import cut, sentences

BEAMS = 4
EXTRA = 50  # tokens by which a translation may be longer than its source
ROWS = 64  # sentences that go through the model together
BYTE = re.compile(r"<0x[0-9A-F]{2}>")  # how a vocabulary spells a byte
LINES = 256  # that are read before the first is written
WITHOUT_SPACES = frozenset({"zh", "ja", "th", "lo", "km", "my", "yue"})  # languages that put none between sentences


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """How translations are looked for; `n` is how many of each line are wanted."""

    beams: int = BEAMS
    length_penalty: float = 1.0
    n: int = 1
    aligned: bool = False  # whether to say which words of the source each word comes from
    glossary: Glossary | None = None

    def config(self, max_new_tokens: int) -> GenerationConfig:
        """As generation takes it; errors as `search`."""
        return GenerationConfig(
            max_new_tokens=max_new_tokens, beams=self.beams, length_penalty=self.length_penalty, n=self.n, logprobs=0
        )


def search(
    beams: int | None = None,
    length_penalty: float = 1.0,
    alternatives: int = 1,
    *,
    aligned: bool = False,
    glossary: Glossary | None = None,
    usual: int = BEAMS,
) -> Search:
    """How to look: with `usual` beams, and as many as alternatives at least, unless a number is given.

    Raises:
        OptionError: an impossible number, or more alternatives than beams.
    """
    check_number("alternatives", alternatives, 1, 256, whole=True)
    if beams is not None:
        check_number("beams", beams, 1, 256, whole=True)
    made = Search(
        beams=max(usual, alternatives) if beams is None else beams,
        length_penalty=length_penalty,
        n=alternatives,
        aligned=aligned,
        glossary=glossary,
    )
    if beams is not None and alternatives > beams >= 1:
        raise OptionError(f"alternatives {alternatives} exceed beams {beams}; the search keeps as many as beams")
    made.config(1)
    return made


@dataclass(frozen=True, kw_only=True, slots=True)
class Translator:
    """A model that translates, and the languages it is asked for. Made by `translate.open_translator`."""

    model: Model
    from_: str | None  # None: the model does not say
    to: str
    card: Card | None = None  # of a bundled translator
    prefix: str = ""  # what the model was trained to find before a text, such as "translate English to German: "

    @property
    def beams(self) -> int:
        """How many hypotheses are kept, unless asked otherwise."""
        return BEAMS

    def advice(self) -> str | None:
        """What to say of a model that is no good at translating."""
        return None

    def check(self, how: Search) -> None:
        """Refuse what this kind of model cannot do; an encoder and a decoder can do all."""

    def lines(
        self,
        lines: Iterable[str],
        how: Search = Search(),
        cancelled: Cancelled = never,
    ) -> Iterator[Translation]:
        """Each line's translation, in order, as they are ready; none that is unfinished when `cancelled` says so."""
        self.check(how)
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
            return Parts(line, line, [], 0)
        at = line.index(core[0])
        found, whole = list[Part](), sentences(line[at:])
        for sentence in whole:
            calm = calmed(sentence, self.from_) if self.card is not None and is_shouted(sentence) else sentence
            shouted = calm != sentence and len(calm) == len(sentence)  # so that places stay what they are
            for text in cut(calm if shouted else sentence, self.fits):
                kept = text.strip()
                if kept:
                    gap, start = text[len(text.rstrip()) :], at + len(text) - len(text.lstrip())
                    found.append(Part(kept, self.encode(kept), gap, shouted, start))
                at += len(text)
        return Parts(line, line[: line.index(core[0])], found, len(whole))

    def encode(self, text: str) -> list[int]:
        """Ids of a text as the model reads it; what looks like a special token in it is text."""
        return self.model.tokenizer.encode(self.prefix + text, parse_special=False)

    def fits(self, text: str) -> bool:
        """Whether the model has room for a text and for a translation twice as long."""
        return len(self.encode(text.strip())) <= max(1, self.model.config.max_positions // 2)

    def said(self, parts: list[Part], how: Search, cancelled: Cancelled) -> list[list[Said]] | None:
        """What the model makes of each part, the best first; None where it was cancelled. Equal parts are read once."""
        different = list({(part.text, part.shouted): part for part in parts}.values())
        order = sorted(different, key=lambda part: -len(part.ids))
        found: dict[tuple[str, bool], list[Said]] = {}
        for first in range(0, len(order), ROWS):
            some = order[first : first + ROWS]
            if cancelled():
                return None
            for part, made in zip(some, self.batch(some, how, cancelled), strict=True):
                found[part.text, part.shouted] = made
        return None if cancelled() else [found[part.text, part.shouted] for part in parts]

    def batch(self, parts: list[Part], how: Search, cancelled: Cancelled) -> list[list[Said]]:
        """What the model makes of a few parts at once, each with room by its own length."""
        model = self.model
        room = [min(len(part.ids) + EXTRA, model.config.max_positions - 1) for part in parts]
        starts, memory = encode_sources(model.executor, [part.ids for part in parts], model.special)
        made = generate(
            model.executor,
            starts,
            how.config(max(room)),
            model.special,
            memory=memory,
            stop=lambda row, _sample, ids: len(ids) >= room[row],
            cancelled=cancelled,
        )
        if cancelled():
            return [[] for _ in parts]
        return [
            [self.finished(self.one(each, how), part, how, best=i == 0) for i, each in enumerate(ways)]
            for part, ways in zip(parts, made, strict=True)
        ]

    def one(self, made: Generation, how: Search) -> Said:
        """One sequence of the search, its words on one line whatever the model says."""
        tokens = made.text_tokens
        text = " ".join(self.model.tokenizer.decode(list(tokens)).split("\n")).strip()
        complete = made.end_token is not None
        return Said(text=text, score=score(made, how.length_penalty), complete=complete, tokens=tuple(tokens))

    def finished(self, said: Said, part: Part, how: Search, *, best: bool) -> Said:
        """What the model said with the glossary's terms in it, and in capitals where the source was."""
        terms = how.glossary is not None and bool(how.glossary.occurrences(part.text, shouted=part.shouted))
        if terms or (best and how.aligned):
            skip = len(self.prefix)
            source = self.prefix + part.text
            alignment = align(self.model, source, said.text, ids=part.ids, tokens=said.tokens, skip=skip)
            said = replace(said, alignment=alignment)
        if terms and how.glossary is not None:
            said = applied(how.glossary, part.text, said, shouted=part.shouted)
        return in_capitals(said) if part.shouted else said

    def together(self, line: Parts, said: list[list[Said]], how: Search) -> Translation:
        """A line's translations from those of its parts: the best of each, then with the least loss others."""
        ways = [(0.0, line.before)]
        for part, made in zip(line.parts, said, strict=True):
            gap = self.gap(part, part is line.parts[-1])
            options = [(each.score, each.text + gap) for each in made]
            joined = ((a + b, before + after) for a, before in ways for b, after in options)
            ways = heapq.nlargest(how.n, joined, key=lambda way: way[0])
        different = {text: total for total, text in reversed(ways)}
        ranked = sorted(different.items(), key=lambda item: -item[1])
        return Translation(
            source=line.line,
            alternatives=tuple(Alternative(text=text, score=total / max(1, len(said))) for text, total in ranked),
            sentences=line.sentences,
            parts=len(said),
            complete=all(made[0].complete for made in said),
            strange=self.strange(line.line),
            terms=tuple(term for made in said for term in made[0].terms),
            alignment=tuple(self.alignment(line, said)) if how.aligned else None,
        )

    def alignment(self, line: Parts, said: list[list[Said]]) -> Iterator[Aligned]:
        """The words of the best translation of a line, with their places in it and in the line."""
        at = len(line.before)
        for part, made in zip(line.parts, said, strict=True):
            yield from (word.moved(at, part.start) for word in made[0].alignment)
            at += len(made[0].text) + len(self.gap(part, part is line.parts[-1]))

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


def score(made: Generation, length_penalty: float) -> float:
    """What a beam search ranks by; the same for a single path."""
    return (made.cumulative_logprob or 0.0) / math.pow(max(1, len(made.tokens)), length_penalty)
