"""Sentences in capitals: the translators included here have hardly read any, and spell them letter by letter.

They are read as any other sentence, and their translation is put in capitals.
"""

import re

WORDS = 2  # a single word in capitals may well be a name, such as NATO
PRONOUN = re.compile(r"\bi\b")


def is_shouted(text: str) -> bool:
    """Whether a sentence of several words is all capitals."""
    return text.isupper() and sum(word.isupper() for word in text.split()) >= WORDS


def calmed(text: str, language: str | None) -> str:
    """The sentence as one writes it otherwise; names lose their capital, for nothing tells which words they are."""
    small = text.lower()
    start = next((i for i, letter in enumerate(small) if letter.isalpha()), 0)
    small = small[:start] + small[start].upper() + small[start + 1 :]
    return PRONOUN.sub("I", small) if language == "en" else small
