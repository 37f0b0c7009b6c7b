"""Where sentences end, by rules that hold in most languages; and where to cut one that is too long.

A cut is left out where it is doubtful: two sentences read as one lose less than one that is torn apart. Whatever is
cut, the parts put together are the text again, spaces included.
"""

import re
from collections.abc import Callable, Iterator

from clearhead.errors import ContextWindowError

CLOSING = "\"'”’»)\\]」』）】"
OPENING = "\"'“‘«„‹([¿¡「『（【"
END = re.compile(rf"(?<![.!?…؟۔।])[.!?…؟۔।]++[{CLOSING}]*+\s+|[。！？]++[{CLOSING}]*+\s*+")
CLAUSE = re.compile(r"[,;:，；：、]\s+|[，；：、]|\s[-–—]+\s")
SPACE = re.compile(r"\s+")
LONGEST = 24  # characters of a word that may be an abbreviation
LAST_WORD = re.compile(r"[^\s(\[“\"'„«]*$")
BEFORE_NUMBERS = frozenset(
    {"no", "jan", "feb", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec", "p", "ch"}
)
LETTERS = re.compile(r"(?:\w\.)+\w")  # U.S, J.R.R
ABBREVIATIONS = frozenset({
    "mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "vs", "etc", "e.g", "i.e", "cf", "fig", "vol", "approx", "inc",
    "ltd", "co", "corp", "gen", "capt", "lt", "rev", "hon", "mt", "sgt", "sen", "gov", "col", "maj", "figs",
    "eq", "eqs",
    "bzw", "ca", "d.h", "z.b", "u.a", "usw", "nr", "evtl", "ggf", "mme", "mlle", "pp", "av",
})  # fmt: skip


def sentences(text: str) -> list[str]:
    """The sentences of a text in order, each with the spaces that follow it."""
    found, start = [], 0
    for match in END.finditer(text):
        if ends(text, start, match):
            found.append(text[start : match.end()])
            start = match.end()
    return [*found, text[start:]] if start < len(text) else found


def ends(text: str, start: int, match: re.Match[str]) -> bool:
    """Whether the marks found end a sentence that began at `start`."""
    marks, following = match[0].rstrip(), text[match.end() : match.end() + 4].lstrip(OPENING)[:1]
    if marks[0] in "。！？":
        return True
    if following.islower():
        return False
    return (
        marks[0] != "."
        or marks[:2] == ".."
        or not stands_for_more(text[max(start, match.start() - LONGEST) : match.start()], following)
    )


def stands_for_more(before: str, following: str) -> bool:
    """Whether the point after this text belongs to its last word: an abbreviation, an initial, a short number; No. and
    months are abbreviated before a number.
    """
    tail = LAST_WORD.search(before)
    word = tail[0] if tail else ""
    initial = len(word) == 1 and word.isupper() and word != "I"
    if following.isdigit() and word.casefold() in BEFORE_NUMBERS:
        return True
    number = word.isdigit() and len(word) <= 2
    return initial or number or word.casefold() in ABBREVIATIONS or LETTERS.fullmatch(word) is not None


def cut(text: str, fits: Callable[[str], bool]) -> Iterator[str]:
    """A text in as few parts as halving makes that all fit: cut between clauses, else words, else characters.

    Raises:
        ContextWindowError: not even one character fits.
    """
    if fits(text):
        yield text
        return
    if len(text) <= 1:
        raise ContextWindowError(f"the context window has no room for {text!r}; choose a model with a longer one")
    at = middle(text)
    yield from cut(text[:at], fits)
    yield from cut(text[at:], fits)


def middle(text: str) -> int:
    """Where to cut in two: after the mark or space that is nearest to the middle, never at an end."""
    half = len(text) // 2
    for pattern, reach in ((CLAUSE, len(text) // 4), (SPACE, half - 1)):
        places = [m.end() for m in pattern.finditer(text) if m.end() < len(text)]
        near = min(places, key=lambda at: abs(at - half), default=0)
        if near and abs(near - half) <= reach:
            return near
    return half
