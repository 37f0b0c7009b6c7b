"""Markdown (CommonMark, with tables): headings make the outline; paragraphs, items, code and rows are blocks."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from clearhead.tasks.ask.ingest.block import Block, Outline, text_of, tidy, tidy_lines
from clearhead.tasks.ask.ingest.html import visible
from clearhead.tasks.ask.ingest.table import spoken_row

if TYPE_CHECKING:
    from markdown_it.token import Token

CODE = ("fence", "code_block")
FRONT = re.compile(r"\A---[ \t]*\n.*?\n---[ \t]*(?:\n|\Z)", re.DOTALL)  # YAML, for a program


def blocks(data: bytes) -> Iterator[Block]:
    """The blocks of a page. A front matter and the tags of HTML are left out. Errors as `text_of`."""
    from markdown_it import MarkdownIt

    text = FRONT.sub(lambda found: "\n" * found[0].count("\n"), text_of(data))  # lines keep their numbers
    reader = Reader()
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        yield from reader.read(token)


class Reader:
    """Tokens of a page, as they come, into blocks."""

    def __init__(self) -> None:
        self.outline = Outline()
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
            yield from self.words(tidy(spoken(token)))
        elif token.type in CODE:
            yield from self.block(tidy_lines(token.content))
        elif token.type == "html_block":
            yield from self.block(tidy(visible(token.content)))
        elif token.type in ("table_open", "tr_open"):
            self.columns, self.row = ([], None) if token.type == "table_open" else (self.columns, [])
        elif token.type == "tr_close":
            yield from self.end_row()

    def words(self, said: str) -> Iterator[Block]:
        """What stands in a heading, a cell, or a paragraph."""
        if self.heading:
            self.outline.enter(self.heading, said)
            self.heading = 0
        elif self.row is not None:
            self.row.append(said)
        else:
            yield from self.block(said)

    def end_row(self) -> Iterator[Block]:
        """A row with the names of its columns; the first row is those names."""
        row, self.row = self.row or [], None
        if self.columns:
            yield from self.block(spoken_row(self.columns, row), alone=True)
        else:
            self.columns = row

    def block(self, text: str, *, alone: bool = False) -> Iterator[Block]:
        """One block, unless it says nothing."""
        if text:
            yield Block(text=text, headings=self.outline.path, line=self.line, alone=alone)


def spoken(token: "Token") -> str:
    """The words of a line without their marks: emphasis, links and tags; pictures by what they show."""
    parts = []
    for child in token.children or []:
        if child.type in ("softbreak", "hardbreak"):
            parts.append(" ")
        elif child.type in ("text", "code_inline", "image"):
            parts.append(child.content)
    return "".join(parts)
