"""Map and reduce: parts that fit are summarized, their summaries joined, and again until all fits in one go.

Documents that are summarized together share every step, so that the model always has many prompts at once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, Protocol

from clearhead.engine.completion import Completion
from clearhead.engine.model import Model
from clearhead.errors import ContextWindowError, OptionError, UnsupportedError
from clearhead.generation.prefill import Cancelled, never
from clearhead.tasks.summarize.answer import units
from clearhead.tasks.summarize.links import linked
from clearhead.tasks.summarize.passages import Part, parts, passages
from clearhead.tasks.summarize.summary import Summary
from clearhead.tasks.summarize.wish import Wish, conversation, quoted
from clearhead.tasks.writing.prose import is_whole

READ = 3000  # tokens that are read at a time at most: small models lose the thread of more (about four pages)
LEAST = 128  # tokens of a text that there must be room for
NOTES = 3  # a part's summary takes at most this share of the part: 1 / NOTES
DOCUMENTS = 64  # that are summarized together
Links = Literal["meaning", "words", "none"]


class Watch(Protocol):
    """Who is told of progress."""

    def begin(self, description: str, total: int) -> None:
        """A stage of so many parts starts."""

    def advance(self, amount: int) -> None:
        """Parts are done."""


@dataclass(slots=True)
class Document:
    """A text on its way to a summary."""

    text: str
    read: tuple[Part, ...] = ()
    now: str = ""  # the text, or the summaries of its parts
    levels: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    unanswered: int = 0
    notes: list[str] = field(default_factory=list)
    answer: Completion | None = None

    def count(self, done: Completion) -> None:
        """What an answer took."""
        self.prompt_tokens += done.usage.prompt_tokens
        self.completion_tokens += done.usage.completion_tokens


def check_text(text: str) -> None:
    """Refuse what cannot be summarized.

    Raises:
        OptionError: it has no words, or bytes that no text has.
    """
    if "\0" in text:
        raise OptionError("the text is binary (it holds zero bytes); extract its text first")
    if not any(letter.isalnum() for letter in text):
        raise OptionError("the text has no words; give some text to summarize")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summarizer:
    """A model that summarizes, and what is wanted of it. Made by `summarize.open_summarizer`."""

    model: Model
    encoder: Model | None  # finds sources by meaning
    links: Links
    wish: Wish
    system: bool = True  # whether the model's template takes a system message
    part: int | None = None  # tokens that are read at a time; None: `READ`, or what the context window has room for

    def many(self, texts: Iterable[str], watch: Watch | None = None, cancelled: Cancelled = never) -> Iterator[Summary]:
        """The summary of each text, in order; none that is unfinished when `cancelled` says so.

        Raises:
            OptionError: a text without words.
            ContextWindowError: a context window without room for a summary of this length, or a model whose summaries
                are no shorter than what it read.
            UnsupportedError: a model that says nothing of a whole text.
        """
        waiting = iter(texts)
        while some := list(islice(waiting, DOCUMENTS)):
            documents = [self.opened(text) for text in some]
            while long := [each for each in documents if len(self.parts(each.now)) > 1]:
                if not self.shortened(long, watch, cancelled):
                    return
            if not self.answered(documents, watch if len(documents) > 1 else None, cancelled):
                return
            yield from map(self.finished, documents)

    def opened(self, text: str) -> Document:
        """A text to read."""
        check_text(text)
        return Document(text, tuple(self.parts(text)), text)

    def parts(self, text: str) -> list[Part]:
        """A text as it is read."""
        return parts(text, self.room, self.tokens)

    def tokens(self, text: str) -> int:
        """How many a text takes, as the model reads it."""
        return len(self.model.tokenizer.encode(quoted(text), add_special_tokens=False, parse_special=False))

    @property
    def room(self) -> int:
        """Tokens of a text that are read at a time, beside the instruction and the answer; errors as `many`."""
        window = self.model.config.max_positions
        frame = self.model.prompter.encode_chat(conversation("", self.wish, system=self.system))
        room = (
            window - len(frame) - max(self.wish.new_tokens, NOTE.new_tokens) - 32
        )  # some more where words meet what is around them
        if room < LEAST:
            raise ContextWindowError(
                f"the context window of {self.model.name} holds {window} tokens, too few for a text and a summary of "
                f"{self.wish.words} words; ask for a shorter one or choose a model with a longer window"
            )
        return min(room, READ if self.part is None else self.part)

    def shortened(self, documents: Sequence[Document], watch: Watch | None, cancelled: Cancelled) -> bool:
        """Every document becomes the summaries of its parts, a paragraph each; False where it was cancelled."""
        owners = [(each, part) for each in documents for part in self.parts(each.now)]
        prompts = [conversation(part.of(each.now), NOTE, system=self.system) for each, part in owners]
        read = sum(part.tokens for _each, part in owners)
        most = max(32, min(NOTE.new_tokens, read // (NOTES * len(owners))))
        if watch is not None:
            watch.begin(f"reading {len(prompts)} parts", len(prompts))
        done = self.model.complete_many(prompts, max_new_tokens=most, cancelled=cancelled)
        for (each, _part), answer in zip(owners, done, strict=False):
            each.count(answer)
            ended = answer.finish_reason == "stop"
            found, _left_out = units(answer.new_text, NOTE, ended=ended)
            if found:
                each.notes.append(" ".join(found))
            else:
                each.unanswered += 1
            if watch is not None:
                watch.advance(1)
        if cancelled():
            return False
        for each in documents:
            joined = "\n\n".join(each.notes)
            if not joined:
                raise UnsupportedError(
                    f"{self.model.name} said nothing of any part of the text; choose a model that follows instructions"
                )
            if self.tokens(joined) >= self.tokens(each.now):
                raise ContextWindowError(
                    f"the summaries by {self.model.name} of the parts of the text are not shorter than the text; read "
                    "larger parts, or choose a model with a longer context window"
                )
            each.now, each.notes, each.levels = joined, [], each.levels + 1
        return True

    def answered(self, documents: Sequence[Document], watch: Watch | None, cancelled: Cancelled) -> bool:
        """Every document gets the answer that is its summary; False where it was cancelled."""
        prompts = [conversation(each.now, self.wish, system=self.system) for each in documents]
        if watch is not None:
            watch.begin(f"summarizing {len(prompts)} texts", len(prompts))
        done = self.model.complete_many(prompts, max_new_tokens=self.wish.new_tokens, cancelled=cancelled)
        for each, answer in zip(documents, done, strict=False):
            each.count(answer)
            each.answer = answer
            if watch is not None:
                watch.advance(1)
        return not cancelled()

    def finished(self, document: Document) -> Summary:
        """The summary, with its sources in the text as it was given."""
        assert document.answer is not None
        ended = document.answer.finish_reason == "stop"
        found, left_out = units(document.answer.new_text, self.wish, ended=ended)
        spans = [] if self.links == "none" else passages(document.text)
        return Summary(
            sentences=linked(found, document.text, spans, self.encoder),
            style=self.wish.style,
            length=self.wish.words,
            parts=document.read,
            levels=document.levels,
            left_out=left_out,
            unanswered=document.unanswered,
            complete=ended or all(map(is_whole, found)) or (self.wish.style == "bullets" and left_out > 0),
            model=self.model.name,
            links=self.encoder.name if self.encoder is not None else self.links,
            prompt_tokens=document.prompt_tokens,
            completion_tokens=document.completion_tokens,
        )


NOTE = Wish(style="paragraph", words=80)  # what is kept of each part
