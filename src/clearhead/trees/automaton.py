"""How a tree is written symbol by symbol, so that whatever is written ends as a tree over exactly the words given.

A stack holds the open brackets. In the normal form of `linear` a bracket takes one word or two children, so one that
holds nothing yet, or a single constituent, *owes* a child. Every child takes a word at least: all is well while no more
is owed than there are words left. A bracket closes when it owes nothing, and a top-down tree's outermost when no word
is left. Then some symbol may always follow, and as trees over n words have at most 2 n - 1 brackets, a sequence ends by
itself after 5 n - 2 symbols or sooner. Where fewer fit, a symbol may follow only while the shortest way to finish after
it still fits.
"""

from dataclasses import dataclass, replace
from typing import Literal

Order = Literal["top-down", "in-order"]
Last = Literal["nothing", "bracket", "word", "constituent"]
ENOUGH = 2


@dataclass(frozen=True, slots=True)
class Bracket:
    """An open bracket, and those around it."""

    label: str
    holds: int  # what it has been given: nothing, one constituent, or ENOUGH: a word, or more
    outer: "Bracket | None"


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """What a prefix leaves to be done. What may follow gives the next state; what may not gives None."""

    order: Order
    words: int  # not read yet
    room: int  # symbols that still fit
    top: Bracket | None = None
    depth: int = 0  # open brackets
    owed: int = 0  # of them, those that owe a child
    last: Last = "nothing"  # what the last symbol began or completed

    @property
    def complete(self) -> bool:
        """Whether this is a tree over all the words."""
        return self.depth == 0 and self.words == 0 and self.last == "constituent"

    @property
    def shortest(self) -> int:
        """Symbols of the shortest way to finish: read the words, close the brackets."""
        rootless = self.depth == 0 and not self.complete  # one bracket has yet to open and to close
        return self.words + self.depth + 2 * rootless

    def opened(self, label: str) -> "State | None":
        """A bracket opens: around what follows, or in order, around the word or constituent just completed as well."""
        if self.order == "top-down":
            return self.opened_before(label)
        if self.last not in ("word", "constituent"):
            return None
        holds = ENOUGH if self.last == "word" else 1
        return self.moved(Bracket(label, holds, self.top), depth=1, owed=int(holds < ENOUGH), last="bracket")

    def opened_before(self, label: str) -> "State | None":
        """Top-down: a bracket counts as a child of the one around it from its beginning."""
        if self.top is None:
            begins = self.last == "nothing"
            return self.moved(Bracket(label, 0, None), depth=1, owed=1, last="bracket") if begins else None
        outer = replace(self.top, holds=min(self.top.holds + 1, ENOUGH))
        return self.moved(Bracket(label, 0, outer), depth=1, owed=int(self.top.holds != 1), last="bracket")

    def read(self) -> "State | None":
        """The next word goes into the open bracket; in order, the first one comes before any bracket."""
        if self.top is None:
            begins = self.order == "in-order" and self.last == "nothing"
            return self.moved(None, words=1, last="word") if begins else None
        paid = int(self.top.holds < ENOUGH)
        return self.moved(replace(self.top, holds=ENOUGH), words=1, owed=-paid, last="word")

    def closed(self) -> "State | None":
        """The open bracket closes."""
        if self.top is None or self.top.holds < ENOUGH:
            return None
        if self.order == "top-down" and self.depth == 1 and self.words:
            return None
        return self.moved(self.top.outer, depth=-1, last="constituent")

    def moved(
        self, top: Bracket | None, *, words: int = 0, depth: int = 0, owed: int = 0, last: Last
    ) -> "State | None":
        """The state after one more symbol, if all that is owed can still be given, and the rest still fits."""
        state = State(
            order=self.order,
            words=self.words - words,
            room=self.room - 1,
            top=top,
            depth=self.depth + depth,
            owed=self.owed + owed,
            last=last,
        )
        return state if state.owed <= state.words and state.shortest <= state.room else None
