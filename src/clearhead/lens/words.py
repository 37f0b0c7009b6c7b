"""Words in a list of tokens: which tokens make one, and where a word stands.

Tokens are pieces of words (`book`, `keeping`), and people ask about words. A token begins a word where the text has a
space before it, after a special token, where letters meet punctuation, and in scripts that put no spaces between words.
"""

import re
from collections.abc import Callable, Sequence
from operator import index

from clearhead.errors import OptionError
from clearhead.lens.payload import Token
from clearhead.text.printable import one_line

# Han with its punctuation, kana, Thai, Lao, Burmese, Khmer: written without spaces, so that each token is a word.
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]")
Word = str | int | Sequence[int]  # a word's text, the index of its token, or the indices of its tokens


def label(token: Token) -> str:
    """A token as a label: without the space before it, unless it is nothing else."""
    return token.text.strip() or "␣" * len(token.text) or token.piece


def text_of(tokens: Sequence[Token], indices: Sequence[int]) -> str:
    """What some tokens say together."""
    return "".join(tokens[i].text for i in indices).strip() or " ".join(label(tokens[i]) for i in indices)


def words(tokens: Sequence[Token]) -> list[list[int]]:
    """All tokens in order, grouped into words; special tokens and blanks are words of their own."""
    found: list[list[int]] = []
    for i, token in enumerate(tokens):
        if i == 0 or begins(tokens[i - 1], token):
            found.append([])
        found[-1].append(i)
    return found


def begins(before: Token, token: Token) -> bool:
    """Whether a token begins a word, given the one before it."""
    if before.special or token.special or not before.text or not token.text:
        return True
    last, first = before.text[-1], token.text[0]
    return (
        last.isspace()
        or first.isspace()
        or last.isalnum() != first.isalnum()
        or bool(UNSPACED.match(last) or UNSPACED.match(first))
    )


def find(tokens: Sequence[Token], word: Word) -> list[int]:
    """The indices of the tokens that make a word.

    Whole words come before parts of words, and the spelling given before other capitals.

    Raises:
        OptionError: no such word, several, or an index outside the text.
    """
    if isinstance(word, str):
        return only(tokens, word, occurrences(tokens, word))
    indices = [index(i) for i in (word if isinstance(word, Sequence) else [word]) if not isinstance(i, str)]
    n = len(tokens)
    if not indices or not all(-n <= i < n for i in indices):
        raise OptionError(f"{word!r} is no token of the text; its tokens are 0 to {n - 1}")
    return [i % n for i in indices]


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
    borders = {indices[0] for indices in words(tokens)} | {len(tokens)}
    same, other = (
        [run for i in range(len(tokens)) if (run := spelled_from(tokens, i, wanted, spelling))]
        for spelling in (str, str.casefold)
    )
    whole = [[run for run in runs if {run[0], run[-1] + 1} <= borders] for runs in (same, other)]
    return next((runs for runs in (*whole, same, other) if runs), [])


def spelled_from(tokens: Sequence[Token], start: int, wanted: str, spelling: Callable[[str], str]) -> list[int]:
    """The tokens from `start` on that spell `wanted`; empty where they do not."""
    wanted, text = spelling(wanted), ""
    if not wanted or not tokens[start].text.strip():
        return []
    for i in range(start, len(tokens)):
        text = spelling(text + tokens[i].text).lstrip()
        if text.strip() == wanted and tokens[i].text.strip():
            return list(range(start, i + 1))
        if len(text) > len(wanted):
            return []
    return []
