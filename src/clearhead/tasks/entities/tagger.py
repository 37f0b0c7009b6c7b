"""Entities of a text as exact spans: words, windows, a label for each word, and the spans that the labels make.

Devlin et al. 2018 (1810.04805), section 5.3: a word is labelled at its first piece. Windows of all texts go through the
model together, those of one length at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from clearhead.engine.model import Model
from clearhead.errors import OptionError, UnsupportedError
from clearhead.executor import Floats
from clearhead.generation.prefill import Cancelled, never
from clearhead.generation.sampling import log_softmax
from clearhead.tasks.entities.labels import likeliest
from clearhead.tasks.entities.windows import LARGEST, Window, windows
from clearhead.text.framing import frame, space_belongs_to_words
from clearhead.text.words import Word, composed, words_of
from clearhead.text.wrapping import continued

ROWS = 32  # windows that are read at once
TEXTS = 64  # that are cut before the first is answered
SPELLED = 50_000  # words whose pieces are remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A name in a text: the characters [start, end), counted from 0 as Python counts them (Unicode code points)."""

    text: str
    type: str  # such as PER, ORG, LOC
    start: int
    end: int
    score: float  # the lowest probability among its words' labels


@dataclass(slots=True)
class Part:
    """What is read for itself on its way: its words, their pieces, and what is known of each word's labels [T, L]."""

    words: list[Word]
    pieces: list[list[int]]
    logprobs: Floats = field(default_factory=lambda: np.empty((0, 0), np.float32))


class Tagger:
    """A model that labels words. Made by `open_tagger`.

    Raises:
        UnsupportedError: a model without labels for words.
    """

    def __init__(self, model: Model) -> None:
        labels = model.config.labels
        if model.config.head != "token_labels" or not any(label.startswith("B-") for label in labels):
            raise UnsupportedError(
                f"{model.name} does not label words as parts of entities (B-..., I-..., O); name a model that does, "
                "such as entities-en, or train one: clearhead train ner-lora"
            )
        self.model, self.labels = model, labels
        self.known: dict[str, list[int]] = {}

    @cached_property
    def around(self) -> tuple[list[int], list[int]]:
        """The ids before and after a text."""
        return frame(self.model.tokenizer)

    @cached_property
    def spaced(self) -> bool:
        """Whether words are spelled with the space before them."""
        return space_belongs_to_words(self.model.tokenizer)

    @property
    def types(self) -> tuple[str, ...]:
        """What it can find."""
        return tuple(dict.fromkeys(label[2:] for label in self.labels if label[:2] in ("B-", "I-")))

    @property
    def room(self) -> int:
        """Pieces in a window."""
        before, after = self.around
        return min(LARGEST, self.model.config.max_positions) - len(before) - len(after)

    def find(self, texts: Sequence[str], cancelled: Cancelled = never) -> Iterator[list[Entity]]:
        """The entities of each text, in its order; it ends early when cancelled.

        Raises:
            OptionError: something that is no text.
        """
        for first in range(0, len(texts), TEXTS):
            some = texts[first : first + TEXTS]
            if wrong := [text for text in some if not isinstance(text, str)]:
                raise OptionError(f"text is {wrong[0]!r:.40}; give a string, or a list of strings")
            parts = [self.parts(text) for text in some]
            if cancelled() or not self.read([part for own in parts for part in own], cancelled):
                return
            for text, own in zip(some, parts, strict=True):
                yield [entity for part in own for entity in self.entities(text, part)]

    def label(self, sentences: Sequence[Sequence[str]], cancelled: Cancelled = never) -> Iterator[list[str]]:
        """A label for each word of sentences that are cut into words already, as annotated data are."""
        for first in range(0, len(sentences), TEXTS):
            some = sentences[first : first + TEXTS]
            parts = [self.part_of([Word(word, 0, 0) for word in words]) for words in some]
            if cancelled() or not self.read(parts, cancelled):
                return
            for words, part in zip(some, parts, strict=True):
                said = iter(likeliest(part.logprobs, self.labels))
                yield [self.labels[next(said)] if self.spell(Word(w, 0, 0), i) else "O" for i, w in enumerate(words)]

    def parts(self, text: str) -> list[Part]:
        """A text as parts, each read for itself and each with its words' places in the text.

        Items and headings end with their line, and no name goes on from one to the next: "Marie Curie" above "Warsaw"
        are two. But a line that was broken because it was full is one with what follows, names included.
        """
        return [self.part(text, start, end) for start, end in continued(text)]

    def part(self, text: str, start: int, end: int) -> Part:
        """The characters [start, end) of a text."""
        words = words_of(text[start:end])
        return self.part_of([Word(word.text, start + word.start, start + word.end) for word in words])

    def part_of(self, every: Sequence[Word]) -> Part:
        """Words with their pieces; one that leaves none (a control character) is no word."""
        spelled = [(word, self.spell(word, i)) for i, word in enumerate(every)]
        kept = [(word, pieces) for word, pieces in spelled if pieces]
        words, pieces = [word for word, _ in kept], [pieces for _, pieces in kept]
        return Part(words, pieces, np.zeros((len(words), len(self.labels)), np.float32))

    def spell(self, word: Word, number: int) -> list[int]:
        """A word's pieces; what looks like a special token in it is text."""
        text = " " * (self.spaced and number > 0) + composed(word.text)
        if text not in self.known:
            if len(self.known) >= SPELLED:
                self.known.clear()
            ids = self.model.tokenizer.encode(text, add_special_tokens=False, parse_special=False)
            self.known[text] = ids[: self.room]
        return self.known[text]

    def read(self, parts: Sequence[Part], cancelled: Cancelled) -> bool:
        """Fill in what the model says of every word; whether that came to its end."""
        cut = [(part, w) for part in parts for w in windows([len(ids) for ids in part.pieces], self.room)]
        cut.sort(key=lambda each: sum(len(ids) for ids in each[0].pieces[each[1].first : each[1].end]))
        for first in range(0, len(cut), ROWS):
            if cancelled():
                return False
            some = cut[first : first + ROWS]
            scored = self.model.executor.head(self.model.executor.encode([self.row(*each) for each in some]))
            for (part, window), logits in zip(some, scored, strict=True):
                part.logprobs[window.own : window.own_end] = self.own(part, window, logits)
        return True

    def row(self, part: Part, window: Window) -> list[int]:
        """A window's ids, framed as the model was trained."""
        before, after = self.around
        inner = [piece for ids in part.pieces[window.first : window.end] for piece in ids]
        return [*before, *inner, *after]

    def own(self, part: Part, window: Window, logits: Floats) -> Floats:
        """Log-probabilities of the labels of the words that count in a window, from logits [S, L]."""
        sizes = [len(ids) for ids in part.pieces[window.first : window.end]]
        firsts = len(self.around[0]) + np.cumsum([0, *sizes[:-1]])
        own = firsts[window.own - window.first : window.own_end - window.first]
        return log_softmax(logits[own]).astype(np.float32)

    def entities(self, text: str, part: Part) -> list[Entity]:
        """The spans that the likeliest labels make."""
        path = likeliest(part.logprobs, self.labels)
        found: list[Entity] = []
        begun = 0
        for i, label in enumerate(path):
            name = self.labels[label]
            following = self.labels[path[i + 1]] if i + 1 < len(path) else "O"
            if name.startswith("B-"):
                begun = i
            if name != "O" and following != f"I-{name[2:]}":
                start, end = part.words[begun].start, part.words[i].end
                sure = min(float(part.logprobs[j, path[j]]) for j in range(begun, i + 1))
                found.append(
                    Entity(
                        text=text[start:end], type=name[2:], start=start, end=end, score=round(float(np.exp(sure)), 4)
                    )
                )
        return found
