"""Words in a list of tokens: which tokens make one, and where a word stands.

Tokens are pieces of words (`book`, `keeping`), and people ask about words. A token begins a word where the text has a
space before it, after a special token, where letters meet punctuation, and in scripts that put no spaces between words.
A character that is cut into several tokens, as vocabularies of bytes cut rare ones, is whole again in its word.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from operator import index
from typing import Any

from clearhead.errors import OptionError
from clearhead.lens.payload import Token
from clearhead.text.printable import one_line, spelled

# Han with its punctuation, kana, Thai, Lao, Burmese, Khmer: written without spaces, so that each token is a word.
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]")
ESCAPED = re.compile("<([0-9A-F]{2})>")  # a byte that is no whole character, as `spelled` writes it
Word = str | int | Sequence[int]  # a word's text, the index of its token, or the indices of its tokens


def label(token: Token) -> str:
    """A token as a label: without the space before it, unless it is nothing else."""
    return token.text.strip() or "␣" * len(token.text) or token.piece


def unspaced(text: str) -> str:
    """A token's text in a cell: without the space before it, unless it is nothing else."""
    return text.strip() or "␣" * len(text)


def bytes_of(token: Token) -> bytes:
    """What a token stands for: its text, but where that escapes single bytes, these bytes. Where the vocabulary itself
    spells `<E6>`, that is text."""
    escaped = ESCAPED.split(token.text)
    if len(escaped) == 1 or any(f"<{byte}>" in token.piece for byte in escaped[1::2]):
        return token.text.encode(errors="backslashreplace")
    parts = (bytes.fromhex(part) if n % 2 else part.encode(errors="backslashreplace") for n, part in enumerate(escaped))
    return b"".join(parts)


def text_of(tokens: Sequence[Token], indices: Sequence[int]) -> str:
    """What some tokens say together."""
    text = spelled(b"".join(bytes_of(tokens[i]) for i in indices)).strip()
    return text or " ".join(label(tokens[i]) for i in indices)


def words(tokens: Sequence[Token]) -> list[list[int]]:
    """All tokens in order, grouped into words; special tokens and blanks are words of their own."""
    found: list[list[int]] = []
    ends = characters(tokens)
    for i, token in enumerate(tokens):
        if i == 0 or begins(tokens[i - 1], token, ends[i - 1], ends[i]):
            found.append([])
        found[-1].append(i)
    return found


@dataclass(frozen=True, slots=True)
class Ends:
    """The first and the last character that a token is part of, and which of the text's characters these are."""

    first: str
    last: str
    start: int
    end: int


def characters(tokens: Sequence[Token]) -> list[Ends]:
    """Of each token; where characters are whole in their tokens, these are the ends of its text."""
    data = [bytes_of(token) for token in tokens]
    text = b"".join(data).decode(errors="surrogateescape")
    lengths = [len(character.encode(errors="surrogateescape")) for character in text]
    owner = [n for n, length in enumerate(lengths) for _ in range(length)]  # of each byte
    found, at = list[Ends](), 0
    for own in data:
        start, end = (owner[at], owner[at + len(own) - 1]) if own else (-1, -1)
        found.append(Ends(text[start], text[end], start, end) if own else Ends("", "", start, end))
        at += len(own)
    return found


def begins(before: Token, token: Token, ends: Ends, own: Ends) -> bool:
    """Whether a token begins a word, given the one before it, and where both end."""
    if before.special or token.special or not before.text or not token.text:
        return True
    if ends.end == own.start:  # both hold bytes of one character
        return False
    last, first = ends.last, own.first
    return (
        last.isspace()
        or first.isspace()
        or last.isalnum() != first.isalnum()
        or bool(UNSPACED.match(last) or UNSPACED.match(first))
    )


def blank(tokens: Sequence[Token], word: Sequence[int]) -> bool:
    """Whether nothing of a word can be seen."""
    return not any(tokens[i].text.strip() for i in word)


def find(tokens: Sequence[Token], word: Word) -> list[int]:
    """The indices of the tokens that make a word.

    Whole words come before parts of words, and the spelling given before other capitals.

    Raises:
        OptionError: no such word, several, or an index outside the text.
    """
    if isinstance(word, str):
        return only(tokens, word, occurrences(tokens, word))
    n = len(tokens)
    indices = indices_of(word)
    if not indices or not all(-n <= i < n for i in indices):
        raise OptionError(f"{word!r} is no token of the text; its tokens are 0 to {n - 1}")
    return [i % n for i in indices]


def indices_of(word: Word) -> list[int]:
    """Indices of tokens as they were given; empty for what is no index, nor a list of these.

    Raises:
        OptionError: a word of another type.
    """
    given: list[Any] = list(word) if isinstance(word, Sequence) else [word]
    if isinstance(word, str) or not all(isinstance(i, Integral) and not isinstance(i, bool) for i in given):
        raise OptionError(f"the word is {word!r:.60}; give its text, the index of its token, or a list of indices")
    return [index(i) for i in given]


def only(tokens: Sequence[Token], word: str, found: list[list[int]]) -> list[int]:
    """The one occurrence of a word."""
    if not found:
        known = [text_of(tokens, indices) for indices in words(tokens) if not tokens[indices[0]].special]
        few = ", ".join(dict.fromkeys(known[:12])) + (", ..." if len(known) > 12 else "")
        raise OptionError(f"there is no word {one_line(word)!r} in the text; its words are {few}")
    if len(found) > 1:
        places = ", ".join(str(indices[0] if len(indices) == 1 else indices) for indices in found)
        raise OptionError(f"{one_line(word)!r} stands at tokens {places}; give one of these instead of the word")
    return found[0]


def occurrences(tokens: Sequence[Token], word: str) -> list[list[int]]:
    """Every place where consecutive tokens spell a word, of the best kind of place there is; see `find`."""
    wanted = one_line(word.strip())
    data = [bytes_of(token) for token in tokens]
    borders = {indices[0] for indices in words(tokens)} | {len(tokens)}
    same, other = (
        [run for i in range(len(tokens)) if (run := spelled_from(data, i, wanted, spelling))]
        for spelling in (str, str.casefold)
    )
    whole = [[run for run in runs if {run[0], run[-1] + 1} <= borders] for runs in (same, other)]
    return next((runs for runs in (*whole, same, other) if runs), [])


def spelled_from(data: Sequence[bytes], start: int, wanted: str, spelling: Callable[[str], str]) -> list[int]:
    """The tokens from `start` on whose bytes spell `wanted`; empty where they do not."""
    wanted, own = spelling(wanted), b""
    if not wanted or not data[start].strip() or data[start][0] & 0xC0 == 0x80:  # in the middle of a character
        return []
    for i in range(start, len(data)):
        own += data[i]
        text = spelling(one_line(own.decode(errors="ignore"))).lstrip()
        if text.strip() == wanted and data[i].strip():
            return list(range(start, i + 1))
        if len(text) > len(wanted):
            return []
    return []
