"""Plain text: paragraphs, between empty lines; and logs, of which every line says something of its own."""

from collections.abc import Iterator

from clearhead.tasks.ask.ingest.block import Block, folded, text_of, tidy


def blocks(data: bytes) -> Iterator[Block]:
    """The paragraphs of a text; errors as `text_of`."""
    for line, paragraph in paragraphs(text_of(data)):
        said, starts = folded(paragraph.split("\n"))
        if said:
            yield Block(text=said, line=line, starts=starts)


def lines(data: bytes) -> Iterator[Block]:
    """The lines of a log; errors as `text_of`."""
    for number, line in enumerate(text_of(data).split("\n"), start=1):
        if said := tidy(line):
            yield Block(text=said, line=number)


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
