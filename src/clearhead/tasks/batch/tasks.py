"""What can be done to rows: a name and options become a function from texts to the fields that each row gets.

One more task is one more function here, and its line in `TASKS`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from clearhead.engine.machine import ANY, Machine
from clearhead.errors import OptionError
from clearhead.tasks.batch.found import Fields

Each = Callable[[Sequence[str]], Iterator[Fields]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """A task and its options; what a task does not know of must be left as it is."""

    task: str
    model: str | None = None  # None: the task's own
    to: str | None = None  # translate
    from_: str | None = None
    labels: tuple[str, ...] = ()  # classify
    about: str | None = None
    length: str | None = None  # summarize
    system: str | None = None  # complete
    max_new_tokens: int | None = None
    machine: Machine = ANY

    def options(self) -> dict[str, Any]:
        """What decides the results, for the manifest: not how fast they are computed."""
        known = asdict(self)
        machine = known.pop("machine")
        known["labels"] = list(self.labels)
        return known | {"executor": machine["executor"], "dtype": machine["dtype"]}


@dataclass(frozen=True, slots=True)
class Opened:
    """A task with its model in memory."""

    model: str
    each: Each  # for each text, in order, the fields of its result


def translate(wish: Wish) -> Opened:
    """The text in another language, line by line."""
    from clearhead.tasks.translate import open_translator

    machine = wish.machine
    translator = open_translator(
        wish.to,
        from_=wish.from_,
        model=None if wish.model is None else machine.load(wish.model),
        machine=machine,
    )

    def each(texts: Sequence[str]) -> Iterator[Fields]:
        apart = [text.split("\n") for text in texts]
        done = translator.lines(line for lines in apart for line in lines)
        for lines in apart:
            made = list(islice(done, len(lines)))
            yield {
                "translation": "\n".join(line.text for line in made),
                "translation_complete": all(line.complete for line in made),
            }

    return Opened(translator.model.name, each)


def summarize(wish: Wish) -> Opened:
    """The text in few words."""
    from clearhead.tasks.choice import instruction_model
    from clearhead.tasks.summarize.summarize import open_summarizer

    model = instruction_model(wish.model, wish.machine)
    summarizer = open_summarizer(length=wish.length, model=model, links="none")

    def each(texts: Sequence[str]) -> Iterator[Fields]:
        for made in summarizer.many(texts):
            yield {"summary": made.text, "summary_complete": made.complete}

    return Opened(model.name, each)


def entities(wish: Wish) -> Opened:
    """The names in the text, as spans."""
    from clearhead.tasks.entities.find import open_tagger

    tagger = open_tagger(wish.model, wish.machine)

    def each(texts: Sequence[str]) -> Iterator[Fields]:
        for found in tagger.find(texts):
            yield {"entities": [asdict(entity) for entity in found]}

    return Opened(tagger.model.name, each)


def embed(wish: Wish) -> Opened:
    """The text as a vector of length 1."""
    from clearhead.tasks.embed import embed as vectors_of
    from clearhead.tasks.embed import open_encoder

    encoder = open_encoder(wish.model, wish.machine)

    def each(texts: Sequence[str]) -> Iterator[Fields]:
        for vector in vectors_of(texts, model=encoder):
            yield {"embedding": [round(float(number), 6) for number in vector]}

    return Opened(encoder.name, each)


def classify(wish: Wish) -> Opened:
    """The labels of the text with their probabilities, the likeliest first."""
    from clearhead.tasks.classify import ABOUT, open_classifier

    machine = wish.machine
    model = None if wish.model is None else machine.load(wish.model)
    about = ABOUT if wish.about is None else wish.about
    classifier = open_classifier(wish.labels or None, model=model, about=about, machine=machine)

    def each(texts: Sequence[str]) -> Iterator[Fields]:
        for text in texts:
            yield {"labels": [asdict(label) for label in classifier.of(text)]}

    return Opened(classifier.model.name, each)


def complete(wish: Wish) -> Opened:
    """What a model makes of the text as a prompt."""
    from clearhead.checkpoints.catalogue import DEFAULT_MODEL
    from clearhead.config import GenerationConfig

    model = wish.machine.load(DEFAULT_MODEL if wish.model is None else wish.model)
    most = GenerationConfig().max_new_tokens if wish.max_new_tokens is None else wish.max_new_tokens
    GenerationConfig(max_new_tokens=most)

    def each(texts: Sequence[str]) -> Iterator[Fields]:
        for done in model.complete_many(texts, system=wish.system, max_new_tokens=most):
            yield {"completion": done.new_text, "finish_reason": done.finish_reason}

    return Opened(model.name, each)


@dataclass(frozen=True, slots=True)
class Task:
    """How a task is opened, what its results look like, and the options that are its own."""

    open: Callable[[Wish], Opened]
    example: Fields  # fields of a result, which say what type each has
    options: tuple[str, ...] = ()


ENTITY = {"text": "", "type": "", "start": 0, "end": 0, "score": 0.0}
TASKS: Mapping[str, Task] = {
    "translate": Task(translate, {"translation": "", "translation_complete": True}, ("to", "from_")),
    "summarize": Task(summarize, {"summary": "", "summary_complete": True}, ("length",)),
    "entities": Task(entities, {"entities": [ENTITY]}),
    "embed": Task(embed, {"embedding": [0.0]}),
    "classify": Task(classify, {"labels": [{"name": "", "probability": 0.0}]}, ("labels", "about")),
    "complete": Task(complete, {"completion": "", "finish_reason": ""}, ("system", "max_new_tokens")),
}
OWN = ("to", "from_", "labels", "about", "length", "system", "max_new_tokens")  # options that some task has


def check(wish: Wish) -> Task:
    """The task of a wish.

    Raises:
        OptionError: there is none of that name, or an option is another task's.
    """
    if wish.task not in TASKS:
        raise OptionError(f"there is no batch task {wish.task!r}; choose from {', '.join(TASKS)}")
    known = TASKS[wish.task]
    if strange := [name for name in OWN if getattr(wish, name) not in (None, ()) and name not in known.options]:
        option = "--" + strange[0].strip("_").replace("_", "-")
        raise OptionError(f"{option} is no option of {wish.task}; drop it")
    return known


def example(name: str) -> Fields:
    """Fields as a result of the task has them."""
    return TASKS[name].example


def open_task(wish: Wish) -> Opened:
    """A task with its model; errors as `check`, and as the task's own function."""
    return check(wish).open(wish)
