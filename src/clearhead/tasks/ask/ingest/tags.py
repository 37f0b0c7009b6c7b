"""Tags of HTML that stand in another text, such as Markdown: what is hidden between two of them, and what is seen."""

import re
from html.parser import HTMLParser

from clearhead.tasks.ask.ingest.html import APART, UNSEEN, is_unseen

VOID = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr",
})  # fmt: skip  # elements that hold nothing, and have no end
TAG = re.compile(r"<(/?)([a-zA-Z][\w-]*)")


class Tags:
    """The elements that are open where reading has come to.

    What is named like one that is hidden and closed nowhere in the text, as in `python <script>`, is no element.
    """

    def __init__(self, text: str = "") -> None:
        self.closed = {name.lower() for slash, name in TAG.findall(text) if slash}  # somewhere in the text
        self.open: list[tuple[str, bool]] = []  # name, and whether it is hidden or lies in what is

    @property
    def hidden(self) -> bool:
        """Whether a reader sees nothing of what stands here."""
        return bool(self.open) and self.open[-1][1]

    def is_text(self, html: str) -> bool:
        """Whether what looks like a tag is no more than words between < and >, such as `List<Object>`."""
        name = html[1:-1].lower()
        return name.isidentifier() and name not in self.closed | VOID | APART

    def spared(self, tag: re.Match[str]) -> str:
        """The beginning of a tag, as words where it would hide what follows and nothing closes it."""
        name = tag[2].lower()
        return f"&lt;{tag[2]}" if not tag[1] and name in UNSEEN - self.closed else tag[0]

    def read(self, html: str) -> str:
        """What is seen of a piece of HTML; its tags open and close elements."""
        piece = Piece(self)
        piece.feed(TAG.sub(self.spared, html))
        piece.close()
        return " ".join(piece.seen)


class Piece(HTMLParser):
    """One piece of HTML."""

    def __init__(self, tags: Tags) -> None:
        super().__init__()
        self.tags = tags
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element opens."""
        if tag not in VOID:
            self.tags.open.append((tag, self.tags.hidden or is_unseen(tag, dict(attrs))))

    def handle_endtag(self, tag: str) -> None:
        """It closes, with all that was left open in it."""
        names = [name for name, _ in self.tags.open]
        if tag in names:
            del self.tags.open[len(names) - 1 - names[::-1].index(tag) :]

    def handle_data(self, data: str) -> None:
        """Text."""
        if not self.tags.hidden:
            self.seen.append(data)
