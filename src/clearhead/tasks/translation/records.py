"""What goes into a translator and what comes out, as plain data: a line, its parts, what a model says of them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clearhead.tasks.translation.alignment import Aligned


@dataclass(frozen=True, kw_only=True, slots=True)
class Alternative:
    """One way to translate a line."""

    text: str
    score: float  # the mean of its sentences' scores, each a log-probability over length ** length_penalty


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """A glossary's term that the line holds, and whether the best translation says it as the glossary does."""

    source: str
    target: str
    placed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Translation:
    """One line, translated."""

    source: str
    alternatives: tuple[Alternative, ...]  # the best first
    sentences: int
    parts: int  # sentences, and parts of sentences that were too long
    complete: bool  # False: the model did not end one of them in the room it had
    strange: tuple[str, ...] = ()  # characters that its vocabulary has no piece for
    terms: tuple[Term, ...] = ()
    alignment: "tuple[Aligned, ...] | None" = None  # of the best translation, where it was asked for

    @property
    def text(self) -> str:
        """The best translation."""
        return self.alternatives[0].text


@dataclass(frozen=True, slots=True)
class Part:
    """What the model reads at a time, and the spaces after it."""

    text: str
    ids: list[int]
    gap: str
    shouted: bool = False  # it was in capitals
    start: int = 0  # of its characters in the line


@dataclass(frozen=True, slots=True)
class Parts:
    """A line, taken apart."""

    line: str
    before: str
    parts: list[Part]
    sentences: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """One way to say a part in the other language."""

    text: str
    score: float
    complete: bool  # the model ended it
    tokens: tuple[int, ...] = ()  # without the end
    terms: tuple[Term, ...] = ()
    alignment: "tuple[Aligned, ...]" = ()
