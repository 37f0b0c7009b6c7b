"""Plain text: paragraphs, between empty lines."""

from collections.abc import Iterator

from clearhead.tasks.ask.ingest.block import Block, text_of, tidy


def blocks(data: bytes) -> Iterator[Block]:
    """The paragraphs of a text; errors as `text_of`."""
    for line, paragraph in paragraphs(text_of(data)):
        if said := tidy(paragraph):
            yield Block(text=said, line=line)


def paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """Every run of lines that are not empty, and the line it begins at, from 1."""
    start, held = 1, list[str]()
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        if line.strip():
            if not held:
                start = number
            held.append(line)
        elif held:
            yield start, "\n".join(held)
            held = []
