"""Which passages a sentence of a summary rests on, and what in it rests on none.

Models invent. So each sentence is held against every passage of the text: by meaning, the cosine of two sentence
embeddings (Reimers and Gurevych 2019, 1908.10084), or by words, the share of its words that the passage has, rare
words counting more (weights as in tf-idf: Sparck Jones 1972). Numbers and names that the text does not have are listed
whatever the passages say, for a sentence may be near in meaning and wrong in its figures.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clearhead.engine.model import Model
from clearhead.executor import Floats
from clearhead.tasks.embed import embed
from clearhead.tasks.summarize.passages import Passage
from clearhead.tasks.writing.repetition import words

MEANING, WORDS = 0.45, 0.3  # the least score of a passage that a sentence may rest on (docs/tasks.md: how chosen)
NEAR = 0.15  # below the best that further passages may score
MOST = 3  # passages of one sentence
NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")  # 1,500; not 1,5, which elsewhere is one and a half
NAME = re.compile(r"(?<![.!?…:]\s)(?<!^)(?<![\"“'(])\b[A-Z]\w+(?:['’]s)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A passage that a sentence rests on: its place in the text, in characters, and how near it is (0 to 1)."""

    start: int
    end: int
    text: str
    score: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Sentence:
    """A sentence of a summary, or a point, or the headline."""

    text: str
    sources: tuple[Source, ...] = ()  # the nearest first
    unknown: tuple[str, ...] = ()  # numbers and names that the text does not have

    @property
    def supported(self) -> bool:
        """Whether it rests on a passage, and all its numbers and names are in the text."""
        return bool(self.sources) and not self.unknown


def linked(units: Sequence[str], text: str, passages: Sequence[Passage], encoder: Model | None) -> tuple[Sentence, ...]:
    """Every unit of a summary with its sources; by meaning where there is an `encoder`, by words otherwise."""
    if not units or not passages:
        return tuple(Sentence(text=unit, unknown=unknown(unit, text)) for unit in units)
    said = [passage.of(text) for passage in passages]
    if encoder is None:
        scores, least = shared(units, said), WORDS
    else:
        vectors = embed([*units, *said], model=encoder)
        scores, least = vectors[: len(units)] @ vectors[len(units) :].T, MEANING  # [units, passages]
    return tuple(
        Sentence(text=unit, sources=sources(row, least, passages, said), unknown=unknown(unit, text))
        for unit, row in zip(units, scores, strict=True)
    )


def sources(scores: Floats, least: float, passages: Sequence[Passage], said: Sequence[str]) -> tuple[Source, ...]:
    """The passages that a sentence rests on, from its scores [passages]."""
    best = float(scores.max())
    order = np.argsort(-scores, kind="stable")[:MOST]
    chosen = [int(i) for i in order if scores[i] >= max(least, best - NEAR)]
    return tuple(
        Source(start=passages[i].start, end=passages[i].end, text=said[i], score=min(1.0, float(scores[i])))
        for i in chosen
    )


def shared(units: Sequence[str], said: Sequence[str]) -> Floats:
    """The weighted share of each unit's words that each passage has [units, passages]."""
    bags = [set(words(passage)) for passage in said]
    occurrences = Counter(word for bag in bags for word in bag)
    found = np.zeros((len(units), len(bags)), np.float32)
    for i, unit in enumerate(units):
        weights = {word: math.log((1 + len(bags)) / (0.5 + occurrences[word])) for word in set(words(unit))}
        weights = {word: max(weight, 0.05) for word, weight in weights.items()}
        total = sum(weights.values())
        for j, bag in enumerate(bags):
            found[i, j] = sum(weight for word, weight in weights.items() if word in bag) / max(total, 1e-9)
    return found


def unknown(unit: str, text: str) -> tuple[str, ...]:
    """Numbers and names of a sentence that the text has nowhere.

    Its first word is no name for certain, nor is any in a headline that has capitals throughout.
    """
    numbers = {normal(number) for number in NUMBER.findall(text)}
    known = set(words(text))
    strange = [number for number in NUMBER.findall(unit) if normal(number) not in numbers]
    capitals = [word[0].isupper() for word in unit.split()]
    names = [name for name in NAME.findall(unit) if not known.intersection(forms(name))]
    if sum(capitals) > len(capitals) / 2:
        names = []
    return tuple(dict.fromkeys([*strange, *names]))


def normal(number: str) -> str:
    """A number without the marks between its thousands, or at its end."""
    return THOUSANDS.sub("", number).rstrip(".,:")


def forms(name: str) -> set[str]:
    """A name as a text may have it: with a genitive or a plural, or without."""
    [first, *_] = words(name) or [""]
    bare = first.removesuffix("'s")
    return {first, bare, bare.removesuffix("s"), bare + "s", bare + "'s"} - {""}
