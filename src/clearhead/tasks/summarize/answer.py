"""From what a model said to a summary: its sentences, points or headline, without what surrounds them."""

import re
from collections.abc import Sequence

from clearhead.tasks.summarize.wish import Wish
from clearhead.tasks.writing.prose import clean, is_whole
from clearhead.tasks.writing.repetition import Memory
from clearhead.text.sentences import ABBREVIATIONS, sentences

# What a model says before a summary ends with a colon and names it ("Here is a summary of the text:"). Where it names
# points or sentences, which a text may have of its own, nothing else stands on its line. "Sure!" goes with it, or where
# it is a line by itself; "Sure enough, ..." is a sentence.
NAMES = r"(?:summar(?:y|ies|i[sz]ed)|headline|tl;dr)"
FORMS = r"(?:list|points?|bullets?|overview|sentences?|version|text)"
OPENS = r"(?:here(?:['’]s|\s+is|\s+are)|this\s+is|(?:the\s+following|below)\s+(?:is|are))\b"
COLON = r"\b[^\n:]{0,80}:[ \t*]*"
INTRODUCED = rf"""(?:
    {OPENS}[^\n:]{{0,80}}?\b{NAMES}{COLON}
    | {OPENS}[^\n:]{{0,80}}?\b{FORMS}{COLON}\n
    | [#*\s]*{NAMES}[*\s]*:[ \t*]*
)"""
SURE = r"(?:sure(?:\s+thing)?|certainly|of\s+course|absolutely|okay|ok)\s*[!.,:—–-]"
PREFACE = re.compile(rf"\s*(?:{SURE}(?:[ \t]*\n\s*|\s*(?={INTRODUCED})))?{INTRODUCED}?\s*", re.IGNORECASE | re.VERBOSE)
QUOTED = re.compile(r"(?:\"([^\"]*)\"|“([^“”]*)”|'([^']*)')")
MARK = re.compile(r"^\s*(?:[-*•+–]|\(?\d{1,3}[.)])\s+")
QUOTE = re.compile(r"^(?:\s*>)+\s?")  # which the model may take over from how it reads the text
TAG = re.compile(r"</?text\d*>")
ROOM = 1.3  # times the words wanted that a summary may have


def units(said: str, wish: Wish, *, ended: bool) -> tuple[list[str], int]:
    """The sentences (points; one headline) of an answer, and how many were left out of it.

    Left out are repetitions, sentences without an end (of points, the last one where the model did not come to the
    `end` of its answer), and what goes far beyond the length that was asked for. One is always kept, whole or not.
    """
    text = PREFACE.sub("", TAG.sub("", said).strip(), count=1).strip()
    found = split(text, wish)
    kept = len(found)
    if wish.style == "paragraph" and any(map(is_whole, found)):
        found = list(filter(is_whole, found))
    elif found[1:] and not ended and not is_whole(found[-1]):
        found.pop()
    chosen = within(new(found) or found[:1], wish)
    return chosen, kept - len(chosen)


def split(text: str, wish: Wish) -> list[str]:
    """An answer in its units."""
    lines = [line for row in text.splitlines() if (line := QUOTE.sub("", row)).strip()]
    if wish.style == "headline":
        return [headline(sentences(line)[0]) for line in lines[:1]]
    if wish.style == "bullets":
        marked = [line for line in lines if MARK.match(line)]
        points = [clean(MARK.sub("", line)) for line in marked or lines]
        return [point for point in points if point] if marked else prose(lines)
    return prose([MARK.sub("", line) for line in lines])


def prose(lines: Sequence[str]) -> list[str]:
    """The sentences of lines."""
    return [made for line in lines for sentence in sentences(line) if (made := clean(sentence))]


def headline(line: str) -> str:
    """One line, without the marks around it: those of a heading, quotation marks around the whole, a point at the end
    that belongs to no abbreviation.
    """
    text = clean(MARK.sub("", line)).lstrip("# ").strip()
    if inner := QUOTED.fullmatch(text.removesuffix(".")):
        text = next(group for group in inner.groups() if group is not None).strip()
    last = text.removesuffix(".").split(" ")[-1]
    return text if "." in last or last.casefold() in ABBREVIATIONS else text.removesuffix(".").strip()


def new(units: Sequence[str]) -> list[str]:
    """Those that repeat none before."""
    memory, found = Memory(), []
    for unit in units:
        if memory.is_new(unit):
            memory.add(unit)
            found.append(unit)
    return found


def within(units: Sequence[str], wish: Wish) -> list[str]:
    """The first of them, up to the length wanted, about."""
    found: list[str] = []
    total = 0
    for unit in units:
        total += len(unit.split())
        if found and total > ROOM * wish.words:
            break
        found.append(unit)
    return found
