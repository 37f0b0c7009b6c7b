"""An essay, finished or cut short, and what it took."""

from dataclasses import dataclass

TOLERANCE = 0.2  # of the length wanted, by which an essay may miss it


@dataclass(frozen=True, kw_only=True, slots=True)
class Paragraph:
    """One paragraph, and the point of the plan it was written for (empty: introduction, conclusion or no plan)."""

    text: str
    point: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Essay:
    """A text of whole sentences in paragraphs, none of which repeats another."""

    title: str
    paragraphs: tuple[Paragraph, ...]
    outline: tuple[str, ...]  # the points, given or made
    length: int  # words wanted
    refused: int  # sentences that were not taken: repetitions, headings, lists, endless ones
    prompt_tokens: int
    completion_tokens: int
    seed: int
    model: str

    @property
    def text(self) -> str:
        """Paragraphs with an empty line between them."""
        return "\n\n".join(paragraph.text for paragraph in self.paragraphs)

    @property
    def words(self) -> int:
        """Words written."""
        return len(self.text.split())

    @property
    def complete(self) -> bool:
        """Whether the length is met, within `TOLERANCE`."""
        return abs(self.words - self.length) <= TOLERANCE * self.length
