"""Words of a running text, each with its place, cut as the annotated texts that models learn from are cut.

Such texts (Tjong Kim Sang and De Meulder 2003, cs/0306050) keep abbreviations, numbers and hyphenated words whole, and
set every other mark apart, the 's of a genitive too.
"""

import re
from dataclasses import dataclass

WORD = re.compile(
    r"""
    (?:[^\W\d_]\.){2,}          # U.S., e.g.
    | \d+(?:[.,:/-]\d+)*%?      # 1,000.5  12:30  2003/04
    | ['’](?:s|re|ve|ll|d|m|t)\b  # John's
    | \w+(?:(?:[-&/]|(?<=\w)['’](?!(?:s|re|ve|ll|d|m|t)\b))\w+)*  # O'Brien  Hewlett-Packard  AT&T
    | \S                        # any mark
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
    return [Word(match[0], match.start(), match.end()) for match in WORD.finditer(text)]
