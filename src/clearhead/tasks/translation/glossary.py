"""A glossary: terms of the source, and what the translation is to call them.

The model translates as it would; then the words that come from a term (by the decoder's attention, `alignment`) give
way to what the glossary says. So the rest of the sentence stays as it is: a term is not inflected, and an article or an
adjective beside it does not follow its gender. Where no word clearly comes from a term, nothing is replaced, and that
is told. A model without an encoder is told the terms in its request instead (`prompted`).
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from clearhead.errors import DataError
from clearhead.tasks.translation.alignment import Aligned, Origin
from clearhead.tasks.translation.places import UNSPACED
from clearhead.tasks.translation.records import Said, Term
from clearhead.text.words import words_of

LARGEST = 8 * 2**20  # bytes
ENOUGH = 0.3  # of a word's weight must come from a word of the term, and more than from any other


@dataclass(frozen=True, slots=True)
class Entry:
    """One term and its translation."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A term in a text, at its characters [start, end)."""

    entry: Entry
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Mention:
    """What the glossary calls a term, in small letters, at characters [start, end) of a translation."""

    target: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Run:
    """Words [first, last) of a translation, and how much of them comes from a term."""

    weight: float
    words: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Glossary:
    """Terms with their translations. Made by `read_glossary` or `glossary_of`."""

    entries: tuple[Entry, ...]
    pattern: re.Pattern[str]

    def occurrences(self, text: str, *, shouted: bool = False) -> list[Occurrence]:
        """The terms in a text, in order; where several fit, the longest. None lies inside a word. In what was
        `shouted`, whose letters are no longer those that were written, a term is found however it is written.
        """
        by_name = {entry.source: entry for entry in self.entries}
        by_letters = {entry.source.lower(): entry for entry in self.entries} if shouted else by_name
        found = []
        for match in self.anyhow.finditer(text) if shouted else self.pattern.finditer(text):
            name = " ".join(match[0].split())
            entry = by_name.get(name) or by_letters.get(name.lower())
            if entry is not None:
                found.append(Occurrence(entry, match.start(), match.end()))
        return found

    @property
    def anyhow(self) -> re.Pattern[str]:
        """The pattern of the terms in any case."""
        return re.compile(self.pattern.pattern, re.IGNORECASE)


def glossary_of(terms: Sequence[tuple[str, str]], where: str = "the glossary") -> Glossary:
    """A glossary of pairs.

    Raises:
        DataError: none, an empty term, or one that is to be translated in two ways.
    """
    known: dict[str, Entry] = {}
    for source, target in terms:
        if wrong := [each for each in (source, target) if not isinstance(each, str)]:
            raise DataError(f"{where} has {wrong[0]!r:.40} for a term or its translation; both are texts")
        entry = Entry(" ".join(source.split()), " ".join(target.split()))
        if not entry.source or not entry.target:
            raise DataError(f"{where} has the pair {source!r:.40} and {target!r:.40}; both need a text")
        if known.setdefault(entry.source, entry).target != entry.target:
            other = known[entry.source].target
            raise DataError(f"{where} translates {source!r:.40} as {other!r} and as {entry.target!r}; keep one of them")
    if not known:
        raise DataError(f"{where} holds no terms; give one a line: the term, a tab, its translation")
    longest_first = sorted(known.values(), key=lambda entry: -len(entry.source))
    return Glossary(tuple(known.values()), re.compile("|".join(map(searched, longest_first))))


def searched(entry: Entry) -> str:
    """The pattern of a term: whole words, where its script has spaces between words; one in small letters is found in
    any, one with capitals as it is written."""
    words = r"\s+".join(map(re.escape, entry.source.split()))
    before = r"(?<!\w)" if re.match(r"\w", entry.source) and not UNSPACED.match(entry.source[0]) else ""
    after = r"(?!\w)" if re.search(r"\w$", entry.source) and not UNSPACED.match(entry.source[-1]) else ""
    return f"{before}(?i:{words}){after}" if entry.source == entry.source.lower() else f"{before}{words}{after}"


def read_glossary(path: Path) -> Glossary:
    """A file of two columns with tabs (TSV) or commas (CSV) between them; empty lines and lines with # are left out.

    Raises:
        DataError: it cannot be read, is no text, or a line has other than two columns.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    if len(data) > LARGEST:
        raise DataError(f"{path} is longer than {LARGEST} bytes; a glossary holds terms, one a line")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}); convert it first") from None
    return glossary_of(list(rows(text, path)), str(path))


def rows(text: str, path: Path) -> Iterator[tuple[str, str]]:
    """The pairs of a file's text."""
    tabs = "\t" in text
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if tabs else ",", quoting=quoting(tabs))
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells) or cells[0].startswith("#"):
                continue
            if len(cells) != 2:
                raise DataError(
                    f"{path} line {reader.line_num} has {len(cells)} columns, not 2: a term and its translation"
                )
            yield cells[0], cells[1]
    except csv.Error as error:
        raise DataError(f"{path} line {reader.line_num} is no table ({error})") from None


def quoting(tabs: bool) -> Literal[0, 3]:
    """Quotes are text between tabs, and hold a cell together between commas."""
    return csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL


def applied(glossary: Glossary, source: str, said: Said, *, shouted: bool = False) -> Said:
    """A translation with its terms as the glossary has them; `said.alignment` must be there.

    A term that the model said so itself stays: the one that those words come from, and what no term's words account
    for goes to terms that no words come from.
    """
    found = glossary.occurrences(source, shouted=shouted)
    runs = [place_of(each, said.alignment) for each in found]
    free = list(mentions(said, glossary))
    there = [taken(each, characters(run, said), free) for each, run in zip(found, runs, strict=True)]
    for i, (each, run) in enumerate(zip(found, runs, strict=True)):
        if run is None:
            there[i] = taken(each, None, free)
    wanted = [(run, each) for each, run, is_there in zip(found, runs, there, strict=True) if run and not is_there]
    for run, each in sorted(wanted, key=lambda pair: pair[0], reverse=True):
        said = replaced(said, each, run)
    terms = (
        Term(source=source[each.start : each.end], target=each.entry.target, placed=is_there or run is not None)
        for each, run, is_there in zip(found, runs, there, strict=True)
    )
    return replace(said, terms=tuple(terms))


def characters(run: tuple[int, int] | None, said: Said) -> tuple[int, int]:
    """Where words [first, last) of a translation stand in it; nowhere without any."""
    return (0, 0) if run is None else (said.alignment[run[0]].start, said.alignment[run[1] - 1].end)


def taken(occurrence: Occurrence, place: tuple[int, int] | None, free: list[Mention]) -> bool:
    """Whether one of the `free` mentions of a term's translation is at a place, or anywhere if that is None; it then is
    free no longer.
    """
    name = occurrence.entry.target.lower()
    for mention in free:
        here = place is None or (mention.start < place[1] and place[0] < mention.end)
        if mention.target == name and here:
            free.remove(mention)
            return True
    return False


def mentions(said: Said, glossary: Glossary) -> Iterator[Mention]:
    """The glossary's translations that a text holds already, each as often as it does."""
    for target in sorted({entry.target.lower() for entry in glossary.entries}):
        for match in re.finditer(searched(Entry(target, target)), said.text, re.IGNORECASE):
            yield Mention(target, match.start(), match.end())


def place_of(occurrence: Occurrence, alignment: Sequence[Aligned]) -> tuple[int, int] | None:
    """The words [first, last) of the translation that come from a term: the run of most weight; None without any."""
    weights = [weight_from(word, occurrence) for word in alignment]
    best, first = Run(0.0, None), 0
    for last in range(len(weights) + 1):
        if last == len(weights) or not weights[last]:
            if last > first:
                best = max(best, Run(sum(weights[first:last]), (first, last)), key=lambda run: run.weight)
            first = last + 1
    return best.words


def weight_from(word: Aligned, occurrence: Occurrence) -> float:
    """How much of a word comes from a term, where most does; nothing of a mark between words."""
    top = word.sources[0] if word.sources else None
    if top is None or not any(map(str.isalnum, word.text)):
        return 0.0
    if top.weight < ENOUGH or not occurrence.start <= top.start < occurrence.end:
        return 0.0
    return sum(o.weight for o in word.sources if occurrence.start <= o.start < occurrence.end)


def replaced(said: Said, occurrence: Occurrence, run: tuple[int, int]) -> Said:
    """A translation with some of its words replaced by a term's, and their alignment with them."""
    first, last = run
    words, target = said.alignment, occurrence.entry.target
    start, end = words[first].start, words[last - 1].end
    if not any(map(str.isalnum, said.text[:start])) and said.text[start].isupper():
        target = target[0].upper() + target[1:]
    origins = unique(origin for word in words[first:last] for origin in word.sources)
    inside = [o for o in origins if occurrence.start <= o.start < occurrence.end]
    new = tuple(
        Aligned(text=word.text, start=start + word.start, end=start + word.end, sources=shared(inside))
        for word in words_of(target)
    )
    by = len(target) - (end - start)
    after = tuple(word.moved(by, 0) for word in words[last:])
    return replace(said, text=said.text[:start] + target + said.text[end:], alignment=(*words[:first], *new, *after))


def unique(origins: Iterator[Origin]) -> list[Origin]:
    """Words of the source, each once."""
    return list({origin.start: origin for origin in origins}.values())


def shared(origins: Sequence[Origin]) -> tuple[Origin, ...]:
    """The same words with equal weights: a term comes from all of its words."""
    return tuple(replace(origin, weight=round(1 / len(origins), 4)) for origin in origins)
