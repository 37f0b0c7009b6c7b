"""A summary, what it rests on, and what was read for it."""

from dataclasses import dataclass

from clearhead.tasks.summarize.links import Sentence
from clearhead.tasks.summarize.passages import Part
from clearhead.tasks.summarize.wish import Style


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """A text in few words."""

    sentences: tuple[Sentence, ...]
    style: Style
    length: int  # words wanted
    parts: tuple[Part, ...]  # the text as it was read; more than one where it did not fit at once
    levels: int  # times that summaries were summarized: 0 for a text read in one go
    left_out: int  # sentences of the answer: repetitions, an unfinished last one, what went far beyond the length
    unanswered: int  # parts that the model read and said nothing of
    complete: bool  # False: the only sentence is unfinished, for the model did not end it
    model: str
    links: str  # how sources were found: an encoder's name, "words", or "none"
    prompt_tokens: int
    completion_tokens: int

    @property
    def text(self) -> str:
        """The summary: a paragraph, lines that begin with "- ", or a headline."""
        units = [sentence.text for sentence in self.sentences]
        return "\n".join(f"- {unit}" for unit in units) if self.style == "bullets" else " ".join(units)

    @property
    def words(self) -> int:
        """Words of the summary."""
        return sum(len(sentence.text.split()) for sentence in self.sentences)

    @property
    def unsupported(self) -> tuple[Sentence, ...]:
        """Sentences that rest on no passage, or hold a number or a name that the text does not have."""
        return () if self.links == "none" else tuple(each for each in self.sentences if not each.supported)
