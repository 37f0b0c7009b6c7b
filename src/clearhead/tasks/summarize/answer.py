"""From what a model said to a summary: its sentences, points or headline, without what surrounds them."""

import re
from collections.abc import Sequence

from clearhead.tasks.summarize.wish import Wish
from clearhead.tasks.writing.prose import clean, is_whole
from clearhead.tasks.writing.repetition import Memory
from clearhead.text.sentences import sentences

PREFACE = re.compile(
    r"^\s*(?:(?:sure|certainly|of course|okay)\b[^\n:.!]*[:.!,]\s*)?"
    r"(?:(?:here(?:'s| is| are)|this is|the following is)\b[^\n:]{0,80}:\s*|(?:summary|headline|tl;dr)\s*:\s*)?",
    re.IGNORECASE,
)
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
    """One line, without the marks around it."""
    return clean(MARK.sub("", line)).lstrip("# ").strip("\"“”'").rstrip(".").strip()


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
