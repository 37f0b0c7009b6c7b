"""Exact match and F1 of short answers, as SQuAD counts them (Rajpurkar et al. 2016, 1606.05250, section 6.1)."""

import re
import string
from collections import Counter
from collections.abc import Sequence

ARTICLE = re.compile(r"\b(a|an|the)\b")
MARKS = str.maketrans("", "", string.punctuation)
SIGNATURE = "max over references|lower case|no punctuation|no articles"


def squad_scores(answer: str, references: Sequence[str]) -> tuple[float, float]:
    """Exact match and F1 against the reference that fits best; without references an empty answer is right."""
    if not references:
        right = float(not plain(answer))
        return right, right
    exact = max(float(plain(answer) == plain(reference)) for reference in references)
    return exact, max(f1(answer, reference) for reference in references)


def f1(answer: str, reference: str) -> float:
    """Of the words that both have; two empty answers are alike."""
    got, expected = plain(answer).split(), plain(reference).split()
    if not got or not expected:
        return float(got == expected)
    shared = sum((Counter(got) & Counter(expected)).values())
    return 2 * shared / (len(got) + len(expected))


def plain(text: str) -> str:
    """A text without what does not count."""
    return " ".join(ARTICLE.sub(" ", text.lower().translate(MARKS)).split())
