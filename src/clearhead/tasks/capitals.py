"""Sentences in capitals: the translators included here have hardly read any, and spell them letter by letter.

They are read as any other sentence, and their translation is put in capitals.
"""

import re
from dataclasses import replace

from clearhead.tasks.translation.alignment import Aligned
from clearhead.tasks.translation.records import Said

WORDS = 2  # a single word in capitals may well be a name, such as NATO
PRONOUN = re.compile(r"\bi\b")


def is_shouted(text: str) -> bool:
    """Whether a sentence of several words is all capitals."""
    return text.isupper() and sum(word.isupper() for word in text.split()) >= WORDS


def calmed(text: str, language: str | None) -> str:
    """The sentence as one writes it otherwise; names lose their capital, for nothing tells which words they are."""
    small = text.lower()
    start = next((i for i, letter in enumerate(small) if letter.isalpha()), 0)
    small = small[:start] + text[start] + small[start + 1 :]  # its own: the capital of ß may be two letters
    return PRONOUN.sub("I", small) if language == "en" else small


def in_capitals(said: Said) -> Said:
    """A translation in capitals, with its words where they then are."""
    text = said.text

    def moved(word: Aligned) -> Aligned:
        start, end = len(text[: word.start].upper()), len(text[: word.end].upper())
        return replace(word, text=text[word.start : word.end].upper(), start=start, end=end)

    return replace(said, text=text.upper(), alignment=tuple(map(moved, said.alignment)))
