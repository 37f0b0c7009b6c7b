"""A text as passages, its sentences; and as parts that a model can read at a time, cut where paragraphs end.

Every passage is a span of the text, so that whatever rests on it can be shown in its place. The passages hold all of
the text but the spaces between them, and the parts hold all passages.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clearhead.errors import ContextWindowError
from clearhead.text.sentences import cut, sentences
from clearhead.text.wrapping import continued

LONGEST = 400  # characters of a passage: what a sentence encoder reads at once, in any script


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    """A sentence of the text, or a piece of one that is very long."""

    start: int  # in characters of the text
    end: int
    paragraph: int

    def of(self, text: str) -> str:
        """Its words."""
        return text[self.start : self.end]


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """What is read at a time: the text from one place to another."""

    start: int
    end: int
    tokens: int

    def of(self, text: str) -> str:
        """Its words."""
        return text[self.start : self.end]


def passages(text: str) -> list[Passage]:
    """The passages of a text in order. Lines are paragraphs, but for those that were broken because they were full
    (`text/wrapping`): a sentence over several of them is one passage.
    """
    found = []
    for number, (start, end) in enumerate(continued(text)):
        at = start
        for sentence in sentences(text[start:end]):
            for piece in cut(sentence, lambda piece: len(piece) <= LONGEST):
                if core := piece.strip():
                    begin = at + piece.index(core[0])
                    found.append(Passage(start=begin, end=begin + len(core), paragraph=number))
                at += len(piece)
    return found


def parts(text: str, room: int, tokens: Callable[[str], int]) -> list[Part]:
    """A text in as few parts of at most `room` tokens as it takes, all of about one size.

    Where a part would exceed its share it ends with a paragraph, else with a sentence, else between words.

    Raises:
        ContextWindowError: not even a single character fits.
    """
    whole = text.strip()
    begin = text.index(whole[0]) if whole else 0
    total = tokens(whole)
    if total <= room:
        return [Part(start=begin, end=begin + len(whole), tokens=total)] if whole else []
    share = total / -(-total // max(1, room))
    pieces = [piece for passage in passages(text) for piece in fitting(text, passage, room, tokens)]
    return packed(text, pieces, share, room, tokens)


def fitting(text: str, passage: Passage, room: int, tokens: Callable[[str], int]) -> list[Passage]:
    """A passage, in pieces where it takes more than the room there is."""
    found, at = [], passage.start
    for piece in cut(passage.of(text), lambda piece: tokens(piece) <= room):
        found.append(Passage(start=at, end=at + len(piece), paragraph=passage.paragraph))
        at += len(piece)
    return found


def packed(text: str, pieces: Sequence[Passage], share: float, room: int, tokens: Callable[[str], int]) -> list[Part]:
    """Neighbours put together while they fit, up to about `share` tokens where a paragraph ends near it."""
    found: list[Part] = []
    first, size = 0, 0
    for i, piece in enumerate(pieces):
        size += tokens(text[piece.start : pieces[i + 1].start if i + 1 < len(pieces) else piece.end])
        last = i + 1 == len(pieces)
        ends_paragraph = not last and pieces[i + 1].paragraph != piece.paragraph
        following = 0 if last else tokens(pieces[i + 1].of(text))
        full = size + following > room or size >= share or (ends_paragraph and size >= 0.85 * share)
        if last or full:
            found.extend(exact(text, pieces[first : i + 1], room, tokens))
            first, size = i + 1, 0
    return found


def exact(text: str, pieces: Sequence[Passage], room: int, tokens: Callable[[str], int]) -> list[Part]:
    """One part of these pieces; two where they take more tokens together than each for itself."""
    start, end = pieces[0].start, pieces[-1].end
    size = tokens(text[start:end])
    if size <= room:
        return [Part(start=start, end=end, tokens=size)]
    if len(pieces) == 1:
        raise ContextWindowError(f"a part of the text takes {size} tokens and there is room for {room}")
    half = len(pieces) // 2
    return [*exact(text, pieces[:half], room, tokens), *exact(text, pieces[half:], room, tokens)]
