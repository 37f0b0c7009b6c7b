"""Which passages each sentence of an answer rests on. A model is not asked: small ones number at random, and a passage
could tell them what to write. Whatever looks like a citation in an answer is taken out, and each sentence is held
against the passages: by the share of its words that a passage has, rare words counting more (weights as in tf-idf:
Sparck Jones 1972), and by the cosine of their meanings.

S sentences, P passages, C the length of a vector.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clearhead.engine.model import Model
from clearhead.executor import Floats
from clearhead.tasks.ask.common_words import COMMON
from clearhead.tasks.embed import embed
from clearhead.text.sentences import sentences

NUMBERS = r"\s*[1-9]\d?(?:\s*(?:[,;–-]|and)\s*[1-9]\d?)*\s*"  # below 100: no year in brackets
MARKS = rf"\[{NUMBERS}\](?:\s*\[{NUMBERS}\])*"
MARK = re.compile(  # with a blank before it, or the end of a sentence behind: `items[1] is` is none
    rf"(?:\s+|^){MARKS}|{MARKS}(?=\s*(?:[.!?…]|$))|\s*\((?:passages?|sources?){NUMBERS}\)", re.IGNORECASE
)
WORD = re.compile(r"\w+")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
LEAST = 0.5  # share of a sentence's words that a passage must have for it to rest on it
NEAR = 0.1  # below the best that a second passage may score
MOST = 2  # passages of one sentence
MEANING = 0.5  # weight of the cosine beside the share of words


@dataclass(frozen=True, kw_only=True, slots=True)
class Sentence:
    """A sentence of an answer."""

    text: str
    passages: tuple[int, ...]  # numbers of those it rests on, from 1, the nearest first; empty: it rests on none

    @property
    def cited(self) -> str:
        """With its citations: `It was built in 1889 [1].`"""
        marks = "".join(f"[{number}]" for number in self.passages)
        if not marks:
            return self.text
        end = len(self.text.rstrip(".!?…"))
        return f"{self.text[:end]} {marks}{self.text[end:]}"


def cited(answer: str, question: str, passages: Sequence[str], encoder: Model | None) -> tuple[Sentence, ...]:
    """The sentences of an answer, each with the passages it rests on; by words alone without an `encoder`."""
    said = [text for each in sentences(MARK.sub("", answer).strip()) if (text := " ".join(each.split()))]
    if not said or not passages:
        return tuple(Sentence(text=text, passages=()) for text in said)
    shares = shared(said, question, passages)
    scores = shares
    if encoder is not None:
        vectors = embed([*(f"{question} {text}" for text in said), *passages], model=encoder)
        scores = shares + MEANING * (vectors[: len(said)] @ vectors[len(said) :].T)
    return tuple(
        Sentence(text=text, passages=rests_on(text, share, score, passages))
        for text, share, score in zip(said, shares, scores, strict=True)
    )


def rests_on(text: str, share: Floats, score: Floats, passages: Sequence[str]) -> tuple[int, ...]:
    """The passages a sentence rests on, from its shares and scores [P]; it must have all of its numbers from one."""
    numbers = {number.rstrip(".,") for number in NUMBER.findall(text)}
    able = [i for i, passage in enumerate(passages) if share[i] >= LEAST and numbers <= set(figures(passage))]
    ranked = sorted(able, key=lambda i: -score[i])
    return tuple(i + 1 for i in ranked[:MOST] if score[i] >= score[ranked[0]] - NEAR)


def figures(text: str) -> list[str]:
    """The numbers of a text."""
    return [number.rstrip(".,") for number in NUMBER.findall(text)]


def shared(said: Sequence[str], question: str, passages: Sequence[str]) -> Floats:
    """The weighted share of each sentence's words that each passage has [S, P]; the question's words count little."""
    bags = [set(words(passage)) for passage in passages]
    asked = set(words(question))
    found = np.zeros((len(said), len(passages)), np.float32)
    for i, text in enumerate(said):
        weights = {word: weight(word, bags, asked) for word in set(words(text))}
        total = sum(weights.values())
        for j, bag in enumerate(bags):
            found[i, j] = sum(value for word, value in weights.items() if word in bag) / total if total else 0.0
    return found


def weight(word: str, bags: Sequence[set[str]], asked: set[str]) -> float:
    """How much a word says of where a sentence comes from."""
    held = sum(word in bag for bag in bags)
    rare = math.log(1 + (len(bags) + 1) / (held + 0.5))
    return rare * (0.02 if word in USUAL else 0.2 if word in asked else 1.0)


def words(text: str) -> list[str]:
    """The words of a text, in small letters; short endings are cut, so that forms of a word meet."""
    return [stem(word) for word in WORD.findall(text.casefold())]


def stem(word: str) -> str:
    """A word without the commonest endings of English."""
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word.removesuffix(ending)
    return word


USUAL = frozenset(map(stem, COMMON)) | {"s", "t"}  # words that stand in any text, and the endings of 's and n't
