"""Markdown (CommonMark, with tables): headings make the outline; paragraphs, items, code and rows are blocks."""

import re
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from clearhead.tasks.ask.ingest.block import Block, Outline, folded, text_of, tidy, tidy_lines
from clearhead.tasks.ask.ingest.table import spoken_row
from clearhead.tasks.ask.ingest.tags import Tags

if TYPE_CHECKING:
    from markdown_it.token import Token

CODE = ("fence", "code_block")
# YAML, for a program: it begins with a key, and up to the closing rule every line is empty, indented, a comment, an
# item, or a key. What begins with a rule otherwise is text.
FRONT = re.compile(
    r"\A---[ \t]*\n(?=[\w\"'][^:\n]*:(?:[ \t]|\n))"
    r"(?:(?!---[ \t]*(?:\n|\Z))(?:[ \t#-][^\n]*|[^\s:][^:\n]*:(?:[ \t][^\n]*)?|)\n)*"
    r"---[ \t]*(?:\n|\Z)"
)


def blocks(data: bytes) -> Iterator[Block]:
    """The blocks of a page. A front matter, tags of HTML and what these hide are left out. Errors as `text_of`."""
    from markdown_it import MarkdownIt

    text = FRONT.sub(lambda found: "\n" * found[0].count("\n"), text_of(data))  # lines keep their numbers
    reader = Reader(Tags(text))
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        yield from reader.read(token)


class Reader:
    """Tokens of a page, as they come, into blocks."""

    def __init__(self, tags: Tags) -> None:
        self.outline = Outline()
        self.tags = tags
        self.line = 1
        self.heading = 0  # the level of the one that is open
        self.columns: list[str] = []
        self.row: list[str] | None = None  # of the table that is open

    def read(self, token: "Token") -> Iterator[Block]:
        """The blocks that end with this token."""
        self.line = token.map[0] + 1 if token.map else self.line
        if token.type == "heading_open":
            self.heading = int(token.tag[1])
        elif token.type == "inline":
            yield from self.words(spoken(token, self.tags))
        elif token.type in CODE and not self.tags.hidden:
            yield from self.code(token)
        elif token.type == "html_block":
            yield from self.block(tidy(self.tags.read(token.content)))
        elif token.type in ("table_open", "tr_open"):
            self.columns, self.row = ([], None) if token.type == "table_open" else (self.columns, [])
        elif token.type == "tr_close":
            yield from self.end_row()

    def words(self, said: str) -> Iterator[Block]:
        """What stands in a heading, a cell, or a paragraph."""
        text, starts = folded(said.split("\n"))
        if self.heading:
            if not self.tags.hidden:
                self.outline.enter(self.heading, text)
            self.heading = 0
        elif self.row is not None:
            self.row.append(text)
        else:
            yield from self.block(text, starts=starts)

    def code(self, token: "Token") -> Iterator[Block]:
        """Code, whose lines stay."""
        text = tidy_lines(token.content)
        lines = text.split("\n")
        above = len(token.content) - len(token.content.lstrip("\n")) + (token.type == "fence")  # lines without code
        starts = [0] * above + list(accumulate((len(line) + 1 for line in lines[:-1]), initial=0))
        yield from self.block(text, starts=tuple(starts))

    def end_row(self) -> Iterator[Block]:
        """A row with the names of its columns; the first row is those names."""
        row, self.row = self.row or [], None
        if self.columns:
            yield from self.block(spoken_row(self.columns, row), alone=True)
        else:
            self.columns = row

    def block(self, text: str, *, alone: bool = False, starts: tuple[int, ...] = ()) -> Iterator[Block]:
        """One block, unless it says nothing."""
        if text:
            yield Block(text=text, headings=self.outline.path, line=self.line, alone=alone, starts=starts)


def spoken(token: "Token", tags: Tags) -> str:
    """The words of a paragraph without marks: emphasis, links, tags and what these hide; pictures by what they show."""
    parts, before = [], len(tags.open)
    for child in token.children or []:
        if child.type == "html_inline" and tags.is_text(child.content):
            parts.append("" if tags.hidden else child.content)
        elif child.type == "html_inline":
            tags.read(child.content)
            parts.append(" " if child.content[:3].lower() == "<br" else "")
        elif child.type in ("softbreak", "hardbreak"):
            parts.append("\n")
        elif child.type in ("text", "code_inline", "image") and not tags.hidden:
            parts.append(child.content)
    del tags.open[before:]  # what a paragraph opens ends with it
    return "".join(parts)
