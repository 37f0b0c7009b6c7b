"""The code in an answer: fenced blocks as CommonMark has them (section 4.5), among whatever prose there is.

Models write one block, several, none at all, or one that the limit on tokens left open; each case is told, none is
guessed at in silence.
"""

import re
import textwrap
from dataclasses import dataclass

from clearhead.tasks.code.languages import named

OPENING = re.compile(r"^(?P<indent>[ \t]*)(?P<mark>`{3,}|~{3,})[ \t]*(?P<label>[^`\n]*)$")
DEFINES = re.compile(
    r"^[ \t]*(?:async[ \t]+def|def|class|function|fn|func|public|private|#include|import|from)\b", re.M
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    language: str  # as its fence says; empty where it says nothing
    code: str
    closed: bool  # False: the answer ended before its fence was closed


@dataclass(frozen=True, slots=True)
class Extracted:
    """An answer, taken apart."""

    code: str
    prose: str  # all that is not a block
    blocks: int  # fenced blocks there were, of any language
    used: int  # of those, the ones that `code` is made of; 0: the whole answer is taken for code, or there is none
    closed: bool  # False: the last block that was used was left open


def extract(answer: str, language: str) -> Extracted:
    """The code in `language` that an answer holds.

    Blocks of that language are joined, or where none names it, blocks that name none. A block of another language, such
    as a command that runs the code, is no part of it. Of blocks that repeat definitions the last one that has them all
    is taken. An answer without any block is code where it begins like code, else it holds none.
    """
    blocks, prose = split(answer)
    if not blocks:
        bare = textwrap.dedent(answer).strip("\n")
        found = bare.rstrip() + "\n" if DEFINES.match(bare) else ""
        return Extracted(found, "" if found else answer.strip(), 0, 0, closed=True)
    ours = [block for block in blocks if named(block.language) == language and block.language]
    ours = ours or [block for block in blocks if not block.language] or [block for block in blocks if known(block)]
    chosen = without_repeats([block for block in ours if block.code.strip()])
    code = "\n\n".join(block.code.strip("\n").rstrip() for block in chosen)
    closed = all(block.closed for block in chosen)
    return Extracted(code + "\n" if code else "", prose, len(blocks), len(chosen), closed=closed)


def known(block: Block) -> bool:
    """Whether a block of some other language defines anything: a wrong label is commoner than a wrong language."""
    return DEFINES.search(block.code) is not None


def without_repeats(blocks: list[Block]) -> list[Block]:
    """The blocks but those whose every definition a later one gives again: first tries, and parts shown anew."""
    kept: list[Block] = []
    later: set[str] = set()
    for block in reversed(blocks):
        names = definitions(block.code)
        if not names or not names <= later:
            kept.append(block)
        later |= names
    return kept[::-1]


def definitions(code: str) -> set[str]:
    """Names of functions and classes that a block defines at its outermost level."""
    return set(re.findall(r"^(?:async[ \t]+def|def|class|function|fn|func)[ \t]+(\w+)", code, re.M))


def split(answer: str) -> tuple[list[Block], str]:
    """The fenced blocks of an answer, and the rest of it."""
    blocks: list[Block] = []
    prose: list[str] = []
    lines = iter(answer.split("\n"))
    for line in lines:
        opening = OPENING.match(line.removesuffix("\r"))
        if opening is None:
            prose.append(line)
            continue
        inside, closed = [], False
        for line_inside in lines:
            if closes(line_inside, opening["mark"], len(opening["indent"])):
                closed = True
                break
            inside.append(unindented(line_inside.removesuffix("\r"), len(opening["indent"])))
        label = opening["label"].strip().split(" ")[0].strip("{}.")
        blocks.append(Block(label, "\n".join(inside), closed))
    return blocks, re.sub(r"\n{3,}", "\n\n", "\n".join(prose)).strip()


def closes(line: str, mark: str, indent: int) -> bool:
    """Whether a line closes the fence that `mark` opened: as many of its marks or more, and nothing else, at most three
    blanks further in, so that a fence within a docstring is text.
    """
    found = line.strip()
    further = len(line) - len(line.lstrip()) - indent
    return len(found) >= len(mark) and set(found) == {mark[0]} and further <= 3


def unindented(line: str, width: int) -> str:
    """A line without as many blanks as its fence stands in from the margin."""
    blank = len(line) - len(line.lstrip(" \t"))
    return line[min(width, blank) :]
