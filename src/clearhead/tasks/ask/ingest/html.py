"""Pages of the web: what a reader sees, with its headings; scripts, styles and what is hidden are left out."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from clearhead.errors import DataError
from clearhead.tasks.ask.ingest.block import Block, Outline, text_of, tidy, tidy_lines

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag
    from bs4.element import NavigableString

UNSEEN = ["script", "style", "template", "noscript", "head", "svg", "iframe", "object", "select", "textarea"]
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
    headings = {tidy(found.get_text()) for found in page.find_all(HEADING)}
    outline = Outline()
    if title and title not in headings:
        outline.enter(0, title)
    drop_unseen(page)
    for block, strings in runs(page):
        text = tidy_lines("".join(strings)) if block.name == "pre" else tidy("".join(row(strings)))
        if HEADING.fullmatch(block.name):
            outline.enter(int(block.name[1]), text)
        elif text:
            yield Block(text=text, headings=outline.path, line=block.sourceline)


def visible(text: str) -> str:
    """What a reader sees of a piece of HTML, as one text; errors as `blocks`."""
    page = parsed(text)
    drop_unseen(page)
    return page.get_text(" ")


def parsed(text: str) -> "BeautifulSoup":
    """The tree of a page; errors as `blocks`."""
    from bs4 import BeautifulSoup

    try:
        return BeautifulSoup(text, "html.parser")
    except (RecursionError, AssertionError) as error:
        raise DataError(f"it cannot be read as HTML: {str(error)[:80] or type(error).__name__}") from None


def drop_unseen(page: "BeautifulSoup") -> None:
    """Take away what no reader sees: it says nothing to them, and may be meant to mislead a model."""
    for tag in page.find_all(UNSEEN):
        tag.decompose()
    for tag in page.find_all(is_hidden):
        if not tag.decomposed:
            tag.decompose()


def is_hidden(tag: "Tag") -> bool:
    """Whether an element says of itself that it is not shown."""
    return tag.has_attr("hidden") or tag.get("aria-hidden") == "true" or bool(HIDING.search(str(tag.get("style", ""))))


def runs(page: "BeautifulSoup") -> Iterator[tuple["Tag", list["NavigableString"]]]:
    """Strings that stand together, under the innermost element that stands apart, in order."""
    from bs4.element import Comment, Declaration, Doctype, NavigableString, ProcessingInstruction

    block: Tag = page
    held: list[NavigableString] = []
    for node in page.descendants:
        if not isinstance(node, NavigableString) or isinstance(
            node, Comment | Declaration | Doctype | ProcessingInstruction
        ):
            continue
        own = next((parent for parent in node.parents if parent.name in APART), page)
        if own is not block and node.strip():
            if held:
                yield block, held
            block, held = own, []
        held.append(node)
    if held:
        yield block, held


def row(strings: list["NavigableString"]) -> Iterator[str]:
    """The same strings, with a mark between the cells of a table."""
    before: Tag | None = None
    for string in strings:
        cell = string.find_parent(["td", "th"])
        if cell is not before and before is not None and string.strip():
            yield " | "
        before = cell if string.strip() else before
        yield string
