"""Which lines of a text go on in the next: where a line was broken only because it was full.

A break says one of two things. In a list, a dialogue, an address or a heading it ends what was said; in text wrapped to
a width it stands for a space. A line goes on if it was full: the first word of the next would not have fitted into the
width of its paragraph, which is that of its longest line (the greedy rule by which text is wrapped, turned round). Text
is wrapped to `NARROWEST` columns at least and `WIDEST` at most; shorter lines are lists, longer ones are paragraphs. A
line that begins as an item, a heading, a quotation, a row of a table or a speaker's turn is always one of its own.
"""

import re
from collections.abc import Sequence

NARROWEST, WIDEST = 40, 120  # characters
ITEM = re.compile(
    r"""\s*(?:
    [-*+•–—>|] | \#{1,6}\s | \(?\d{1,3}[.)]\s | \(?[a-zA-Z][.)]\s    # items, headings, quotations, tables
    | \#?[A-Z][\w#.'’-]{0,30}(?:\s[A-Z][\w#.'’-]{0,30}){0,2}\s?:\s  # Anna: ...  #Person1#: ...
    )""",
    re.VERBOSE,
)


def continued(text: str) -> list[tuple[int, int]]:
    """The characters [start, end) of every line of a text, lines that were broken in one, in order; empty lines are
    left out. Neither the break at its end nor spaces there belong to a line, but those at its beginning do.
    """
    found: list[tuple[int, int]] = []
    for paragraph in paragraphs(text):
        lines = [text[start:end] for start, end in paragraph]
        width = max(map(len, lines))
        begun = paragraph[0][0]
        for i, (_start, end) in enumerate(paragraph):
            if i + 1 == len(paragraph) or not goes_on(lines, i, width):
                found.append((begun, end))
                begun = paragraph[i + 1][0] if i + 1 < len(paragraph) else end
    return found


def paragraphs(text: str) -> list[list[tuple[int, int]]]:
    """The lines [start, end) of each paragraph; paragraphs end at lines without anything in them."""
    found: list[list[tuple[int, int]]] = [[]]
    start = 0
    for line in text.splitlines(keepends=True):
        if line.strip():
            found[-1].append((start, start + len(line.rstrip())))
        elif found[-1]:
            found.append([])
        start += len(line)
    return [lines for lines in found if lines]


def goes_on(lines: Sequence[str], number: int, width: int) -> bool:
    """Whether a line of a paragraph, whose longest is of `width`, goes on in the next, of which there is one."""
    line, following = lines[number], lines[number + 1]
    return (
        NARROWEST <= width <= WIDEST
        and len(line) + 1 + len(following.split(maxsplit=1)[0]) > width
        and ITEM.match(following) is None
        and not line.lstrip().startswith("#")
    )
