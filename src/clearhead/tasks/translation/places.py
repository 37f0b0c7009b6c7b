"""Where tokens stand in the text they were made of, and which word each belongs to.

Vocabularies change a text a little before they cut it (Unicode forms, spaces), so places are found by what the tokens
spell: its letters are those of the text in the same order, and where they differ, the neighbours say where it lies.
"""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise

from clearhead.text.tokenizer import Tokenizer
from clearhead.text.words import Word, words_of

# Han, kana, Thai, Lao, Burmese, Khmer: written without spaces, so that a piece of the vocabulary is a word.
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
NOWHERE = (0, 0)


def places_of(tokens: Sequence[int], text: str, tokenizer: Tokenizer) -> list[tuple[int, int]]:
    """The characters [start, end) of each token in a text that they spell, without the spaces around it; (0, 0) of a
    token that spells none of it."""
    spelled, owners = characters(tokens, tokenizer)
    letters = [at for at, letter in enumerate(text) if not letter.isspace()]
    where = matched(spelled, "".join(text[at] for at in letters))
    starts, ends = dict[int, int](), dict[int, int]()
    for owner, place in zip(owners, where, strict=True):
        if place is not None:
            starts.setdefault(owner, letters[place])
            ends[owner] = letters[place] + 1
    return [(starts[i], ends[i]) if i in starts else NOWHERE for i in range(len(tokens))]


def characters(tokens: Sequence[int], tokenizer: Tokenizer) -> tuple[str, list[int]]:
    """All that tokens spell but spaces, and the token of each character; bytes are together what they spell together.

    The unknown token, which spells nothing, stands for one character.
    """
    spelled, owners = [], []
    waiting, first = b"", 0
    for i, token in enumerate(tokens):
        data = tokenizer.token_bytes(token)
        if not waiting:
            first = i
        waiting += data
        try:
            text, waiting = waiting.decode(), b""
        except UnicodeDecodeError as error:
            if error.reason == "unexpected end of data" and len(waiting) < 4:
                continue
            text, waiting = waiting.decode(errors="replace"), b""
        letters = [letter for letter in text if not letter.isspace()]
        spelled += letters
        owners += [first] * len(letters)
    return "".join(spelled), owners


def matched(spelled: str, text: str) -> list[int | None]:
    """For each character spelled its place in a text, both without spaces; None where it has none."""
    if spelled == text:
        return list(range(len(text)))
    found: list[int | None] = [None] * len(spelled)
    for kind, a, after_a, b, after_b in SequenceMatcher(None, spelled, text, autojunk=False).get_opcodes():
        if kind == "equal" or (kind == "replace" and after_b > b):
            for i in range(a, after_a):
                found[i] = b + min((i - a) * (after_b - b) // (after_a - a), after_b - b - 1)
    return found


def words_and_owners(text: str, places: Sequence[tuple[int, int]]) -> tuple[list[Word], list[int | None]]:
    """The words of a text and, for each token by its place, the word it belongs to: that of its first character."""
    words = [part for word in words_of(text) for part in apart(word, places)]
    owner = {at: i for i, word in enumerate(words) for at in range(word.start, word.end)}
    return words, [None if place == NOWHERE else owner.get(place[0]) for place in places]


def apart(word: Word, places: Sequence[tuple[int, int]]) -> list[Word]:
    """A word, or the pieces that the vocabulary cuts it into, in a script that puts no spaces between words; a number
    or a name in it stays whole."""
    if not UNSPACED.search(word.text):
        return [word]
    bare = [UNSPACED.match(letter) is not None for letter in word.text]
    begun = {start - word.start for start, end in places if word.start < start < word.end and end > start}
    inner = range(1, len(bare))
    cuts = [word.start + i for i in inner if bare[i] != bare[i - 1] or (bare[i] and i in begun)]
    bounds = [word.start, *cuts, word.end]
    return [Word(word.text[a - word.start : b - word.start], a, b) for a, b in pairwise(bounds)]
