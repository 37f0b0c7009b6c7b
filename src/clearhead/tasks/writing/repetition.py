"""What counts as saying something again, and a memory of all that was said.

Small models loop: they say a sentence, and then that sentence again. Blocking n-grams that occurred is the usual remedy
(Paulus et al. 2018, 1705.04304, section 2.5, with trigrams of tokens). Here words are compared, not tokens, without
regard to case and punctuation, and whole sentences are refused, so that no word is ever bent to avoid another.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

LOOP = 8  # words in a row that may not occur twice in a text
PHRASE = 4  # words in a row that make a phrase
STALE = 0.5  # the share of a sentence's phrases that may have occurred before
WORD = re.compile(r"\w+(?:['’]\w+)*")


def words(text: str) -> list[str]:
    """The words of a text in small letters, as repetition is judged."""
    return [word.replace("’", "'") for word in WORD.findall(text.casefold())]


def grams(said: list[str], n: int) -> Iterator[tuple[str, ...]]:
    """Every n words in a row, in order."""
    return (tuple(said[i : i + n]) for i in range(len(said) - n + 1))


@dataclass(slots=True)
class Memory:
    """All that was said, sentence by sentence."""

    sentences: set[tuple[str, ...]] = field(default_factory=set)
    loops: set[tuple[str, ...]] = field(default_factory=set)
    phrases: set[tuple[str, ...]] = field(default_factory=set)
    tail: list[str] = field(default_factory=list)  # the last words, for what runs over the end of a sentence

    def is_new(self, sentence: str) -> bool:
        """Whether a sentence, said next, would repeat nothing: no sentence, no `LOOP` words, few phrases."""
        said = words(sentence)
        loops = list(grams([*self.tail, *said], LOOP))
        if tuple(said) in self.sentences or len(set(loops)) < len(loops) or not self.loops.isdisjoint(loops):
            return False
        phrases = list(grams(said, PHRASE))
        return sum(phrase in self.phrases for phrase in phrases) <= STALE * len(phrases)

    def add(self, sentence: str) -> None:
        """A sentence was said."""
        said = words(sentence)
        self.sentences.add(tuple(said))
        self.loops.update(grams([*self.tail, *said], LOOP))
        self.phrases.update(grams(said, PHRASE))
        self.tail = [*self.tail, *said][-(LOOP - 1) :]


def repeated(sentences: Iterable[str]) -> list[str]:
    """What a text says twice: its sentences that occurred before, and `LOOP` words in a row that did."""
    found, whole, loops, tail = [], set(), set(), list[str]()
    for sentence in sentences:
        said = words(sentence)
        if tuple(said) in whole:
            found.append(sentence)
        whole.add(tuple(said))
        for gram in grams([*tail, *said], LOOP):
            if gram in loops:
                found.append(" ".join(gram))
            loops.add(gram)
        tail = [*tail, *said][-(LOOP - 1) :]
    return found
