"""A text of any length as rows that fit a model's window, cut between words, each word read with words around it.

Windows overlap by a quarter on either side. Of a word that two windows hold, the one that has more context around it
counts, so that nothing is read at an edge but the ends of the text, and an entity across a cut is seen whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass

LARGEST = 128  # pieces of a window: models learn from single sentences, and read few much better than many
SHARE = 4  # a window's overlap with the next is one part of so many


@dataclass(frozen=True, slots=True)
class Window:
    """Words `first` to `end` of a text, of which `own` to `own_end` count."""

    first: int
    end: int
    own: int
    own_end: int


def windows(sizes: Sequence[int], room: int) -> list[Window]:
    """Windows over words of so many pieces each, `room` pieces at most in any.

    A word longer than a window makes one of its own; whoever reads it takes its beginning.
    """
    spans: list[tuple[int, int]] = []
    first = 0
    while first < len(sizes):
        end = reach(sizes, first, room)
        spans.append((first, end))
        if end == len(sizes):
            break
        first = max(first + 1, back(sizes, end, room // SHARE))
    found, own = [], 0
    for i, (start, end) in enumerate(spans):
        own_end = end if i + 1 == len(spans) else max(own, (spans[i + 1][0] + end + 1) // 2)
        found.append(Window(start, end, own, own_end))
        own = own_end
    return found


def reach(sizes: Sequence[int], first: int, room: int) -> int:
    """The end of the longest run of words from `first` that fits, of one word at least."""
    total, end = 0, first
    while end < len(sizes) and (total + sizes[end] <= room or end == first):
        total += sizes[end]
        end += 1
    return end


def back(sizes: Sequence[int], end: int, room: int) -> int:
    """The first of the last words before `end` that fit into `room`."""
    total, first = 0, end
    while first > 0 and total + sizes[first - 1] <= room:
        first -= 1
        total += sizes[first]
    return first
