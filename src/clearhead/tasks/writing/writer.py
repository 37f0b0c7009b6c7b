"""Paragraph by paragraph: the model goes on, each whole sentence is judged, and what is refused is drawn anew.

What has been given out never changes, so an essay can be shown while it grows. Each paragraph is told how many words
are left for it: what one is too short, the next makes up for.

A model is not shown the paragraphs before, only its point: shown them, small models say them again (docs/tasks.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from clearhead.engine.model import Model
from clearhead.engine.options import Options
from clearhead.generation.prefill import Cancelled
from clearhead.tasks.writing.asking import request
from clearhead.tasks.writing.essay import TOLERANCE, Essay, Paragraph
from clearhead.tasks.writing.plan import Section, again, next_seed
from clearhead.tasks.writing.prose import is_prose, paragraph
from clearhead.tasks.writing.repetition import Memory

TRIES = 10  # draws for a paragraph, the first included
MORE = 4  # paragraphs beyond the plan at most, where those of the plan turn out short
CROWDED = 1.6  # times its usual words that a conclusion may have to make up for
SHORT = 15  # words that may be missing from a paragraph before the model is asked to go on with it


@dataclass(slots=True, kw_only=True)
class Writing:
    """An essay under way.

    Iterate once for its parts, whole sentences and the gaps before them; then ask for `essay`.
    """

    model: Model
    title: str
    sections: list[Section]
    outline: tuple[str, ...]
    length: int
    tone: str | None
    drawing: Options  # how tokens are chosen, with a seed
    cancelled: Cancelled
    memory: Memory = field(default_factory=Memory)
    paragraphs: list[Paragraph] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)  # of the paragraph under way
    draws: int = 0
    refused: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __iter__(self) -> Iterator[str]:
        """The parts of the text as they come; together they are `essay.text`."""
        waiting, more = list(self.sections), MORE
        while waiting and not self.cancelled():
            section = waiting.pop(0)
            target = self.share(section, waiting)
            if section.role == "conclusion" and more and target > CROWDED * self.usual(section):
                section, target, more = self.extra(waiting, section), self.usual(section), more - 1
            yield from self.section(section, target)
            if not waiting and more and self.missing > TOLERANCE / 2 * self.length:
                waiting, more = [section], more - 1

    @property
    def missing(self) -> int:
        """The words that are still to be written."""
        return self.length - sum(len(each.text.split()) for each in self.paragraphs)

    def extra(self, waiting: list[Section], conclusion: Section) -> Section:
        """One more paragraph before the conclusion, on a point of the plan."""
        waiting.insert(0, conclusion)
        points = self.outline or ("",)
        return Section(point=points[len(self.paragraphs) % len(points)], role="body", share=conclusion.share)

    def usual(self, section: Section) -> int:
        """The words of a section if all keep to the plan."""
        return round(self.length * section.share / sum(each.share for each in self.sections))

    def share(self, section: Section, waiting: list[Section]) -> int:
        """The words for a section: its part of what is left."""
        return max(0, round(self.missing * section.share / sum(each.share for each in (section, *waiting))))

    def section(self, section: Section, target: int) -> Iterator[str]:
        """One paragraph."""
        self.sentences = []
        for attempt in range(TRIES):
            written = len(" ".join(self.sentences).split())
            if self.cancelled() or (written and target - written <= SHORT):
                break
            for sentence in self.drawn(section, target, attempt):
                more = len(sentence.split())
                over = written + more - target
                if written and over > target - written:
                    break  # nearer to the target without it
                yield self.gap() + sentence
                written += more
                self.take(sentence)
                if written >= target:
                    break
        self.close(section)

    def gap(self) -> str:
        """What stands before the next sentence."""
        return " " if self.sentences else "\n\n" if self.paragraphs else ""

    def take(self, sentence: str) -> None:
        """A sentence becomes part of the essay."""
        self.memory.add(sentence)
        self.sentences.append(sentence)

    def close(self, section: Section) -> None:
        """The paragraph under way is over."""
        if self.sentences:
            made = Paragraph(text=" ".join(self.sentences), point=section.point, sentences=tuple(self.sentences))
            self.paragraphs.append(made)
            self.sentences = []

    def drawn(self, section: Section, target: int, attempt: int) -> Iterator[str]:
        """Sentences that go on with the paragraph, up to the first that is refused."""
        options: Options = {
            **self.drawing,
            "max_new_tokens": 2 * target + 120,
            "min_new_tokens": 8 if self.sentences else 1,  # asked to go on, it may not end at once
        }
        options["seed"] = next_seed(self.drawing, self.draws)
        self.draws += 1
        said = " ".join(self.sentences)
        stream = request(self.model, self.instruction(section, target), said, again(options, attempt)).stream(
            self.cancelled
        )
        try:
            for sentence in paragraph(stream):
                if not is_prose(sentence) or not self.memory.is_new(sentence):
                    self.refused += 1
                    return
                yield sentence
        finally:
            stream.close()
            usage = stream.completion.usage
            self.prompt_tokens += usage.prompt_tokens
            self.completion_tokens += usage.completion_tokens

    def instruction(self, section: Section, target: int) -> str:
        """What the model is told for one paragraph."""
        kinds = {
            "introduction": "the introduction of",
            "conclusion": "the conclusion of",
            "body": "one paragraph of",
            "whole": "",
        }
        tone = f" in a {self.tone} tone" if self.tone else ""
        lines = [f'Write {kinds[section.role]} an essay with the title "{self.title}"{tone}.']
        if section.point:
            lines.append(f"This paragraph is about: {section.point}.")
        elif self.outline:
            lines.append("The essay is about: " + "; ".join(self.outline) + ".")
        lines.append(f"Write about {max(20, target)} words in plain sentences, without a heading or a list.")
        return "\n".join(lines)

    @property
    def essay(self) -> Essay:
        """What is there."""
        return Essay(
            title=self.title,
            paragraphs=tuple(self.paragraphs),
            outline=self.outline,
            length=self.length,
            refused=self.refused,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            seed=self.drawing.get("seed") or 0,
            model=self.model.name,
        )
