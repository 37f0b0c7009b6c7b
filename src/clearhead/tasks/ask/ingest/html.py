"""Pages of the web: what a reader sees, with its headings; scripts, styles and what is hidden are left out."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clearhead.errors import DataError
from clearhead.tasks.ask.ingest.block import Block, Outline, text_of, tidy, tidy_lines

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

UNSEEN = frozenset({
    "script", "style", "template", "noscript", "title", "svg", "iframe", "select",
})  # fmt: skip  # not "head": its end may be left out, so that the body seems to lie in it
HIDING = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
HEADING = re.compile(r"h[1-6]")
APART = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "dd", "div", "dl", "dt", "figcaption", "figure",
    "footer", "form", "header", "hr", "html", "li", "main", "nav", "ol", "p", "pre", "section", "table", "tbody",
    "tfoot", "thead", "tr", "ul", "h1", "h2", "h3", "h4", "h5", "h6",
})  # fmt: skip  # elements that stand apart from the text around them


def blocks(data: bytes) -> Iterator[Block]:
    """The blocks of a page; the page's title is the outermost heading unless a heading says the same.

    Raises:
        DataError: it is not UTF-8 text, or nested too deeply.
    """
    page = parsed(text_of(data))
    title = tidy(page.title.get_text()) if page.title else ""
    drop_unseen(page)
    found = [(block, tidy_lines(text) if block.name == "pre" else tidy(text)) for block, text in runs(page)]
    outline = Outline()
    if title and title not in {text for block, text in found if HEADING.fullmatch(block.name)}:
        outline.enter(0, title)
    for block, text in found:
        if HEADING.fullmatch(block.name):
            outline.enter(int(block.name[1]), text)
        elif text:
            yield Block(text=text, headings=outline.path, line=block.sourceline)


def parsed(text: str) -> "BeautifulSoup":
    """The tree of a page; errors as `blocks`."""
    from bs4 import BeautifulSoup

    try:
        return BeautifulSoup(text, "html.parser")
    except (RecursionError, AssertionError) as error:
        raise DataError(f"it cannot be read as HTML: {str(error)[:80] or type(error).__name__}") from None


def drop_unseen(page: "BeautifulSoup") -> None:
    """Take away what no reader sees: it says nothing to them, and may be meant to mislead a model."""
    for tag in page.find_all(lambda tag: is_unseen(tag.name, tag.attrs)):
        if not tag.decomposed:
            tag.decompose()


def is_unseen(name: str, attributes: Mapping[str, object]) -> bool:
    """Whether an element is of a kind that is not shown, or says so of itself."""
    return (
        name in UNSEEN
        or "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or bool(HIDING.search(str(attributes.get("style", ""))))
    )


@dataclass(frozen=True, slots=True)
class Inside:
    """Where a string stands: the innermost element that stands apart, and the cell of a table."""

    block: "Tag"
    cell: "Tag | None" = None


def runs(page: "BeautifulSoup") -> Iterator[tuple["Tag", str]]:
    """Text that stands together, under the innermost element that stands apart, in order; one descent."""
    from bs4 import Tag
    from bs4.element import NavigableString, PreformattedString

    inside = {id(page): Inside(page)}  # of every element
    said = {id(page)}  # blocks that had text
    now, held = Inside(page), list[str]()
    for node in page.descendants:
        here = inside[id(node.parent)]
        if isinstance(node, Tag):
            inside[id(node)] = entered(node, here, empty=id(here.block) not in said)
            if node.name == "br":
                held.append("\n" if here.block.name == "pre" else " ")
        elif isinstance(node, NavigableString) and not isinstance(node, PreformattedString):  # such as comments
            if node.strip():
                if here.block is not now.block:
                    yield now.block, "".join(held)
                    held = []
                elif here.cell is not now.cell and now.cell is not None:
                    held.append(" | ")
                now = here
                said.add(id(here.block))
            held.append(str(node))
    yield now.block, "".join(held)


def entered(tag: "Tag", around: Inside, *, empty: bool) -> Inside:
    """Where the strings of an element stand; what a heading begins with is part of it, whatever its kind."""
    if tag.name in ("td", "th"):
        return Inside(around.block, tag)
    titles = empty and HEADING.fullmatch(around.block.name) and not HEADING.fullmatch(tag.name)
    return Inside(tag, around.cell) if tag.name in APART and not titles else around
