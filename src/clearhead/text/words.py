"""Words of a running text, each with its place, cut as the annotated texts that models learn from are cut.

Such texts (Tjong Kim Sang and De Meulder 2003, cs/0306050) keep abbreviations, numbers and hyphenated words whole, and
set every other mark apart, the 's of a genitive too.

What a reader sees as one letter is never cut: an accent that is a character of its own (Unicode's category M) belongs
to what is before it, a soft hyphen or a space of no width between two letters parts no word, two regional indicators
are one flag, and what a zero width joiner joins is one picture (UAX #29, section 3.1.1).
"""

import re
import unicodedata
from dataclasses import dataclass

# Python's patterns know no categories. So these characters have stand-ins from the private use area while a text is
# cut, and a character of the text that is one of them becomes OTHER: places stay what they are.
MARK, JOINER, SOFT, OTHER = "\ue000", "\ue001", "\ue002", "\ue003"
JOINERS = "\u200c\u200d"  # zero width (non-)joiners, between letters or pictures
SOFTS = "\u00ad\u200b"  # soft hyphen, zero width space: where a line may be broken
STRANGE = re.compile(r"[^\w\s\x00-\x7f]")
PICTURE_MARKS = re.compile("[\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")  # tones of skin, tags of a flag
END = rf"(?:s|re|ve|ll|d|m|t)(?![\w{MARK}{JOINER}])"
LETTERS = rf"\w+(?:(?:[{MARK}{JOINER}]+|{SOFT}+(?=\w))\w*)*"
WORD = re.compile(
    rf"""
    (?:[^\W\d_]{MARK}*\.){{2,}}       # U.S., e.g.
    | \d+(?:[.,:/-]\d+)*%?{MARK}*     # 1,000.5  12:30  2003/04
    | ['’]{END}                       # John's
    | {LETTERS}(?:(?:[-&/]|['’](?!{END})){LETTERS})*  # O'Brien  Hewlett-Packard  AT&T
    | [\U0001f1e6-\U0001f1ff]{{2}}    # a flag
    | \S{MARK}*(?:{JOINER}+[^\w\s{MARK}{JOINER}{SOFT}]{MARK}*)*  # any mark
    """,
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Word:
    """A word, and the characters [start, end) that it takes in its text."""

    text: str
    start: int
    end: int


def words_of(text: str) -> list[Word]:
    """The words of a text; together they hold every character of it that is no space."""
    seen = STRANGE.sub(lambda match: stand_in(match[0]), text)
    return [Word(text[match.start() : match.end()], match.start(), match.end()) for match in WORD.finditer(seen)]


def stand_in(letter: str) -> str:
    """What a character is cut as."""
    if letter in JOINERS:
        return JOINER
    if letter in SOFTS:
        return SOFT
    if unicodedata.category(letter)[0] == "M" or PICTURE_MARKS.match(letter):
        return MARK
    return OTHER if letter in (MARK, JOINER, SOFT) else letter


def composed(text: str) -> str:
    """A word as a vocabulary is likely to know it: letters with their accents, and nothing that has no width."""
    return unicodedata.normalize("NFC", text.translate(dict.fromkeys(map(ord, SOFTS))) or text)
