"""Whole sentences out of a text that grows, the first paragraph of it; headings and lists are no prose."""

import re
from collections.abc import Iterator

from clearhead.engine.stream import Stream
from clearhead.text.sentences import CLOSING, sentences

WHOLE = re.compile(rf"[.!?…。！？][{CLOSING}]*$")
MARK = re.compile(r"\s*(?:[-*+#>|•`]|\d{1,3}[.)]\s|\(?[a-zA-Z]\)\s)")  # how a heading or an item of a list begins
ABOUT_ITSELF = re.compile(
    r"\b(?:introduction|conclusion|paragraph|essay)\s+(?:(?:of|to|for)\s+(?:the|this|an)\s+essay|is as follows)|"
    r"\bthis (?:introduction|conclusion|paragraph)\b|\bword count\b|\b\d+ words\b|\bin plain sentences\b|"
    r"\b(?:your|the|an)\s+(?:\w+\s+)?essay\b|"
    r"\bI(?:['’]m| am) (?:an?|only|just|your) (?:\w+ )?(?:AI|assistant|language model)\b|"
    r"\bas an? (?:AI|language model)\b",
    re.IGNORECASE,
)
# Emphasis is a pair of marks at the borders of words: 2**3 and __init__ stay what they are. HALF is what a pair around
# several sentences leaves of itself in the first and the last.
BOLD = re.compile(
    r"""
    (?<![0-9A-Za-z_*])\*\*(?=[^\s*])([^*]+)(?<=\S)\*\*(?![0-9A-Za-z_*])
    | (?<!\w)__(?=\S)([^_]*\s[^_]*)(?<=\S)__(?!\w)
    """,
    re.VERBOSE,
)
HALF = re.compile(r"^\*\*(?=[A-Z])|(?<=[.!?…])\*\*$")
LONGEST = 60  # words of a sentence; what is longer has lost its thread


def is_whole(sentence: str) -> bool:
    """Whether it ends as a sentence does."""
    return WHOLE.search(sentence) is not None


def is_prose(sentence: str) -> bool:
    """Whether it reads as a sentence of running text.

    It is whole from its beginning on, has words, is not endless, is no heading, item or remark on
    the text itself, and every quotation mark in it is closed.
    """
    return (
        is_whole(sentence)
        and MARK.match(sentence) is None
        and ABOUT_ITSELF.search(sentence) is None
        and any(letter.isalpha() for letter in sentence)
        and not sentence[0].islower()
        and len(sentence.split()) <= LONGEST
        and sentence.count('"') % 2 == 0
        and sentence.count("“") == sentence.count("”")
    )


def clean(sentence: str) -> str:
    """Without marks of emphasis, on one line."""
    return HALF.sub("", " ".join(BOLD.sub(lambda match: match[1] or match[2], sentence).split()))


def paragraph(stream: Stream) -> Iterator[str]:
    """The sentences of the first paragraph of prose that a stream brings, each as soon as it is whole.

    Lines before it that do not end as sentences do (a title, "Here is the essay:") are left out, and so is a sentence
    that the model had no room to end. A sentence that grows beyond every measure is given out unended, for whoever
    reads to refuse.
    """
    rest, begun = "", False
    for piece in stream:
        rest += piece
        while "\n" in rest:
            line, rest = rest.split("\n", 1)
            for sentence in filter(is_whole, map(clean, sentences(line))):
                begun = True
                yield sentence
            if begun:
                return
        *done, rest = sentences(rest) or [""]
        for sentence in map(clean, done):
            begun = True
            yield sentence
        if len(rest.split()) > LONGEST:
            yield clean(rest)
            return
    if stream.completion.finish_reason == "stop":
        yield from filter(is_whole, map(clean, sentences(rest)))
