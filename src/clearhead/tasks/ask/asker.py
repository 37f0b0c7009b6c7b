"""Questions through a retriever and an instruction model: passages found, an answer written, or none, and cited."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from clearhead.engine.model import Model
from clearhead.engine.prompt import Message
from clearhead.errors import ContextWindowError
from clearhead.generation.prefill import Cancelled, never
from clearhead.tasks.ask.cite import Sentence, cited
from clearhead.tasks.ask.closeness import closeness
from clearhead.tasks.ask.found import ALTERNATIVES, LEAST, Weights, is_refusal, openings, refusal
from clearhead.tasks.ask.prompt import NEW_TOKENS, NOT_FOUND, Length, conversation, simple
from clearhead.tasks.ask.retrieve import Hit, Retriever
from clearhead.tasks.ask.watch import Watch, silent

PASSAGES, FEW = 3, 1  # that the model reads, and a small one: with more, they confuse them
QUESTIONS = 64  # that are asked together


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the documents say to a question."""

    question: str
    found: bool  # False: they do not hold the answer, as far as can be told
    confidence: float  # probability that they do
    sentences: tuple[Sentence, ...]  # empty where nothing was found
    passages: tuple[Hit, ...]  # what was read, the best first; sentences name them from 1 on
    left_out: int  # passages that were wanted and did not fit the context window
    complete: bool  # False: the answer was cut, for the model did not end it
    model: str

    @property
    def text(self) -> str:
        """The answer without citations; "not found" where there is none."""
        return " ".join(sentence.text for sentence in self.sentences) if self.found else NOT_FOUND

    @property
    def cited(self) -> str:
        """The answer with the numbers of its passages."""
        return " ".join(sentence.cited for sentence in self.sentences) if self.found else NOT_FOUND

    @property
    def unsupported(self) -> tuple[str, ...]:
        """Sentences that rest on no passage."""
        return tuple(sentence.text for sentence in self.sentences if not sentence.passages)


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A question on its way to an answer."""

    question: str
    hits: list[Hit]
    left_out: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Asker:
    """What answers. Made by `ask.open_asker`."""

    retriever: Retriever
    model: Model
    weights: Weights
    passages: int = PASSAGES  # that are read
    length: Length = "sentences"
    least: float = LEAST  # confidence below which nothing is said
    system: bool = True  # whether the model's template takes a system message

    def many(self, questions: Iterable[str], watch: Watch = silent, cancelled: Cancelled = never) -> Iterator[Answer]:
        """The answer to each question, in order; none that is unfinished when `cancelled` says so.

        Raises:
            OptionError: an empty question.
            ContextWindowError: a question that leaves no room for a passage.
        """
        waiting = iter(questions)
        while some := list(islice(waiting, QUESTIONS)):
            watch.begin("searching", len(some))
            drafts = []
            for question in some:
                if cancelled():
                    return
                drafts.append(self.draft(question))
                watch.advance(1)
            yield from self.answered(drafts, watch, cancelled)

    def draft(self, question: str) -> Draft:
        """A question with as many of the passages as there is room for; errors as `many`."""
        found = self.retriever.find(question, self.passages)
        wanted = [hit for hit in found if self.fits(Draft(question=question, hits=[hit], left_out=0))]
        for n in range(len(wanted), 0 if found else -1, -1):
            draft = Draft(question=question, hits=wanted[:n], left_out=len(found) - n)
            if self.fits(draft):
                return draft
        raise ContextWindowError(
            f"the question leaves no room for a passage in the context window of {self.model.name} "
            f"({self.model.config.max_positions} tokens); shorten it, or choose a model with a longer window"
        )

    def fits(self, draft: Draft) -> bool:
        """Whether there is room for a question with its passages, and for an answer."""
        window = self.model.config.max_positions - NEW_TOKENS[self.length]
        return len(self.model.prompter.encode_chat(self.messages(draft, may_refuse=True))) <= window

    def messages(self, draft: Draft, *, may_refuse: bool) -> list[Message]:
        """What the model is sent."""
        shown = [hit.passage for hit in draft.hits]
        if not self.weights.asks:
            return simple(draft.question, shown, self.length)
        return conversation(draft.question, shown, self.length, may_refuse=may_refuse, system=self.system)

    def answered(self, drafts: Sequence[Draft], watch: Watch, cancelled: Cancelled) -> Iterator[Answer]:
        """The answers to a few questions. Who answers nothing though the passages hold it is asked once more."""
        held = [draft for draft in drafts if draft.hits]
        first = self.written(held, may_refuse=True, watch=watch, cancelled=cancelled)
        if first is None:
            return
        said = dict(zip(map(id, held), first, strict=True))
        again = [
            d
            for d in held
            if self.weights.asks and said[id(d)].confidence >= self.least and is_refusal(said[id(d)].text)
        ]
        second = self.written(again, may_refuse=False, watch=watch, cancelled=cancelled)
        if second is None:
            return
        for draft, written in zip(again, second, strict=True):
            said[id(draft)] = Written(written.text, said[id(draft)].confidence, written.complete)
        for draft in drafts:
            yield self.finished(draft, said.get(id(draft), Written("", 0.0, True)))

    def written(
        self, drafts: Sequence[Draft], *, may_refuse: bool, watch: Watch, cancelled: Cancelled
    ) -> "list[Written] | None":
        """What the model writes, and how likely it is that the passages hold it; None where it was cancelled."""
        if not drafts:
            return []
        prompts = [self.messages(draft, may_refuse=may_refuse) for draft in drafts]
        watch.begin("answering", len(prompts))
        done = self.model.complete_many(
            prompts, max_new_tokens=NEW_TOKENS[self.length], temperature=0, logprobs=ALTERNATIVES, cancelled=cancelled
        )
        starts, found = openings(self.model), []
        for draft, completion in zip(drafts, done, strict=False):
            chance = self.weights.probability(refusal(completion, starts), self.closeness(draft))
            found.append(Written(completion.new_text, chance, completion.finish_reason == "stop"))
            watch.advance(1)
        return None if cancelled() else found

    def closeness(self, draft: Draft) -> float:
        """How near what is read is to the question."""
        return closeness(draft.question, [hit.passage.whole for hit in draft.hits], self.retriever.encoder)

    def finished(self, draft: Draft, written: "Written") -> Answer:
        """An answer with its citations, or none."""
        found = written.confidence >= self.least and bool(written.text.strip()) and not is_refusal(written.text)
        texts = [hit.passage.whole for hit in draft.hits]
        return Answer(
            question=draft.question,
            found=found,
            confidence=written.confidence,
            sentences=cited(written.text, draft.question, texts, self.retriever.encoder) if found else (),
            passages=tuple(draft.hits),
            left_out=draft.left_out,
            complete=written.complete or not found,
            model=self.model.name,
        )


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote, and the probability that the passages hold it."""

    text: str
    confidence: float
    complete: bool
