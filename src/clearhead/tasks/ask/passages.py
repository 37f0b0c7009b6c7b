"""Documents cut into passages by their structure: never across a heading, whole paragraphs where they fit.

A passage is as long as the model of meanings reads well: `SIZE` of its tokens. Neighbouring paragraphs under one
heading share a passage as long as they fit; a longer one is cut between sentences, and a sentence that is longer
still between clauses or words. Rows of tables stand alone. All of a document is in exactly one passage.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from clearhead.tasks.ask.ingest import Block
from clearhead.text.sentences import cut, sentences

SIZE = 256  # tokens: what MiniLM learnt from (its model card), and near what people read at a glance
Count = Callable[[str], int]  # tokens of a text


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    """A piece of a document, and where it stands."""

    file: str
    text: str
    headings: tuple[str, ...] = ()  # the outermost first
    line: int | None = None
    page: int | None = None

    @property
    def title(self) -> str:
        """The headings above it, as one line."""
        return " > ".join(self.headings)

    @property
    def place(self) -> str:
        """Where it stands, for people: `notes.md:12`, `paper.pdf, page 3`."""
        if self.page is not None:
            return f"{self.file}, page {self.page}"
        return self.file if self.line is None else f"{self.file}:{self.line}"

    @property
    def whole(self) -> str:
        """What is searched: the headings, and the text."""
        return f"{self.title}\n{self.text}" if self.headings else self.text


def passages(file: str, blocks: Iterable[Block], count: Count, size: int = SIZE) -> Iterator[Passage]:
    """The passages of a document, in order; each with its headings at most `size` tokens long, as far as those fit."""
    held: list[Block] = []
    used = room = 0
    for block in blocks:
        if not held or not together(held[-1], block):
            yield from joined(file, held)
            held, used = [], 0
            room = max(size // 2, size - count(" > ".join(block.headings)))
        for part in parts(block, count, room):
            tokens = count(part.text)
            if held and used + tokens > room:
                yield from joined(file, held)
                held, used = [], 0
            held.append(part)
            used += tokens
    yield from joined(file, held)


def together(one: Block, other: Block) -> bool:
    """Whether two neighbours may share a passage."""
    return not one.alone and not other.alone and (one.headings, one.page) == (other.headings, other.page)


def parts(block: Block, count: Count, room: int) -> Iterator[Block]:
    """A block in parts that fit: whole, or as many sentences as fit in each."""
    if count(block.text) <= room:
        yield block
        return
    held, used, begins = "", 0, 0
    for sentence in sentences(block.text):
        for piece in cut(sentence, lambda text: count(text) <= room):
            tokens = count(piece)
            if held and used + tokens > room:
                yield part_of(block, held, begins)
                begins += len(held)
                held, used = "", 0
            held, used = held + piece, used + tokens
    if held.strip():
        yield part_of(block, held, begins)


def part_of(block: Block, held: str, begins: int) -> Block:
    """The part of a block that begins at this place of its text, with the line it stands on."""
    lead = len(held) - len(held.lstrip())
    return replace(block, text=held.strip(), line=block.line_at(begins + lead), starts=())


def joined(file: str, held: list[Block]) -> Iterator[Passage]:
    """The passage that these blocks make, if there are any."""
    if held:
        first = held[0]
        text = "\n".join(block.text for block in held)
        yield Passage(file=file, text=text, headings=first.headings, line=first.line, page=first.page)
