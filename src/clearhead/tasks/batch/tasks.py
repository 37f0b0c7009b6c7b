"""What can be done to rows: a name and options become a function from texts to the fields that each row gets.

One more task is one more function here, and its line in `TASKS`.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from clearhead.digests import sha256_of
from clearhead.engine.machine import ANY, Machine
from clearhead.errors import CheckpointError, OptionError
from clearhead.tasks.batch.found import Fields
from clearhead.tasks.choice import instruction_model_name

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
        files = None if self.model is None else digest_of(Path(self.model))
        return known | {"model_files": files, "executor": machine["executor"], "dtype": machine["dtype"]}


def digest_of(model: Path) -> str | None:
    """The SHA-256 of a model's file, or of the digests of its folder's files; None where it is a name, whose files the
    catalogue or the hub knows.

    Raises:
        CheckpointError: a file cannot be read.
    """
    if not model.exists():
        return None
    files = sorted(path for path in model.rglob("*") if path.is_file()) if model.is_dir() else [model]
    try:
        lines = "".join(f"{sha256_of(path)}  {path.relative_to(model)}\n" for path in files)
    except OSError as error:
        raise CheckpointError(f"{error.filename or model} cannot be read: {error.strerror or error}") from None
    return hashlib.sha256(lines.encode("utf-8", "backslashreplace")).hexdigest()


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
    model: Callable[[], str] | None = None  # which does it where none is named, if that depends on the machine


ENTITY = {"text": "", "type": "", "start": 0, "end": 0, "score": 0.0}
LABEL = {"name": "", "probability": 0.0}
TASKS: Mapping[str, Task] = {
    "translate": Task(translate, {"translation": "", "translation_complete": True}, ("to", "from_")),
    "summarize": Task(summarize, {"summary": "", "summary_complete": True}, ("length",), instruction_model_name),
    "entities": Task(entities, {"entities": [ENTITY]}),
    "embed": Task(embed, {"embedding": [0.0]}),
    "classify": Task(classify, {"labels": [LABEL]}, ("labels", "about"), instruction_model_name),
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


def settled(wish: Wish, begun: str | None = None) -> Wish:
    """A wish that names its model where the choice depends on what has been pulled: the one it was begun with, if it
    was, so that no half of the rows is another's.
    """
    choice = TASKS[wish.task].model
    return wish if wish.model is not None or choice is None else replace(wish, model=begun or choice())


def example(name: str) -> Fields:
    """Fields as a result of the task has them."""
    return TASKS[name].example


def open_task(wish: Wish) -> Opened:
    """A task with its model; errors as `check`, and as the task's own function."""
    return check(wish).open(wish)
