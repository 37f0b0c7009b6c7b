"""`ch.entities`: the names in a text, or in several, by a model that labels words."""

from collections.abc import Sequence
from pathlib import Path
from typing import overload

from clearhead.engine.machine import ANY, Machine
from clearhead.engine.model import Model
from clearhead.tasks.entities.tagger import Entity, Tagger
from clearhead.tasks.texts import texts_of

DEFAULT = "entities-en"


@overload
def entities(  # type: ignore[overload-overlap]  # a string is a sequence of strings too; the first fit counts
    text: str, *, model: str | Path | Model | None = None
) -> list[Entity]: ...


@overload
def entities(text: Sequence[str], *, model: str | Path | Model | None = None) -> list[list[Entity]]: ...


def entities(
    text: str | Sequence[str], *, model: str | Path | Model | None = None
) -> list[Entity] | list[list[Entity]]:
    """The names in a text, in their order: `ch.entities("Marie Curie was born in Warsaw.")`; of several texts, a list
    for each.

    A text may be of any length. Places are characters of the text as it was given, so that
    `text[entity.start : entity.end] == entity.text`. Without `model` the one for English is used.

    Raises:
        UnsupportedError: a model without labels for words.
        OptionError: something that is no text.
        UnknownModelError, DownloadError, CheckpointError: as `clearhead.load`.
    """
    texts = texts_of(text)
    found = list(open_tagger(model).find(texts))
    return found[0] if isinstance(text, str) else found


def open_tagger(model: str | Path | Model | None = None, machine: Machine = ANY) -> Tagger:
    """What finds entities; errors as `entities`."""
    if isinstance(model, Model):
        return Tagger(model)
    name = DEFAULT if model is None else model
    return Tagger(on_processor(name, machine).load(name))


def on_processor(model: str | Path, machine: Machine) -> Machine:
    """Where nothing else is asked for, the bundled model runs in int8 on the processor: it finds what it finds in
    float32 (docs/tasks.md) in less than half of the time, and before a GPU is ready.
    """
    return machine.small("int8") if str(model) == DEFAULT else machine
