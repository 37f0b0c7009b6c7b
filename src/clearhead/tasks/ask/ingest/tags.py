"""Tags of HTML that stand in another text, such as Markdown: what is hidden between two of them, and what is seen."""

from html.parser import HTMLParser

from clearhead.tasks.ask.ingest.html import is_unseen

VOID = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr",
})  # fmt: skip  # elements that hold nothing, and have no end


class Tags:
    """The elements that are open where reading has come to."""

    def __init__(self) -> None:
        self.open: list[tuple[str, bool]] = []  # name, and whether it is hidden or lies in what is

    @property
    def hidden(self) -> bool:
        """Whether a reader sees nothing of what stands here."""
        return bool(self.open) and self.open[-1][1]

    def read(self, html: str) -> str:
        """What is seen of a piece of HTML; its tags open and close elements."""
        piece = Piece(self)
        piece.feed(html)
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
