"""What a recipe would do, found out without doing it: the first records of each source, and the size of the model."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from clearhead.checkpoints.export import hf_config
from clearhead.config import ModelConfig
from clearhead.errors import ConfigError, DataError
from clearhead.families.layout import layout
from clearhead.recurrent.config import RecurrentConfig
from clearhead.recurrent.layout import layout as recurrent_layout
from clearhead.training.data.records import Record, reversed_pairs
from clearhead.training.data.report import Report
from clearhead.training.data.sources import read
from clearhead.training.metrics.texts import SCORES
from clearhead.training.recipe.architectures import configure
from clearhead.training.recipe.recipe import TWO_TEXTS, Recipe
from clearhead.training.recipe.teaching import teacher_recipes

FIELDS = {  # what a task reads of a record
    "translation": ("source", "target"),
    "instruct": ("source", "target"),
    "labels": ("tokens", "labels"),
    "parsing": ("tree",),
    "causal": ("text",),
    "masked": ("text",),
    "spans": ("text",),
}


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of a source."""

    side: str  # train, dev, or the name of a test
    source: str
    records: list[Record]


def heads(recipe: Recipe, count: int) -> Iterator[Head]:
    """The first records of every source, which have what the task reads.

    Raises:
        DataError: a source that cannot be read, holds no good record among its first, or other fields.
        MissingDependencyError: a kind of source that needs a package which is not installed.
    """
    data = recipe.data
    sides = {"train": data.train, "extra": data.extra, "dev": data.dev, **data.tests}
    if data.dev is None and data.split is None:
        raise DataError("there is nothing to evaluate on; give data.dev, or data.split with a share for dev")
    for side, some in sides.items():
        for source in some.sources if some is not None else ():
            assert some is not None
            records = list(islice(read(source, Report(), checks=some.checks), count))
            for record in records:
                complete(record, recipe.task, source.title)
            yield Head(side, source.title, list(reversed_pairs(records)) if data.reverse else records)


def complete(record: Record, task: str, source: str) -> None:
    """Refuse a record that lacks a field."""
    if lacking := [field for field in FIELDS.get(task, ()) if field not in record]:
        has = ", ".join(record)
        raise DataError(f"{source} has {has}, and task {task} reads {lacking[0]!r}; name the column so in the recipe")


def can_score(recipe: Recipe) -> None:
    """Try the scores of generated text on a word, so that what they need is missed before the run and not after it.

    Raises:
        MissingDependencyError: a package that is not installed.
    """
    if recipe.task == "translation" and recipe.data.tests:
        for name in recipe.evaluation.scores:
            SCORES[name](["a"], ["a"], recipe.target_language)


def keepable(recipe: Recipe) -> None:
    """Refuse a new model that its family's config.json cannot express, where the model must be read again.

    Raises:
        ConfigError: it cannot, or sizes that no such model can have.
    """
    if recipe.model is None or recipe.vocabulary is None:
        return
    config = configure(recipe.model, recipe.vocabulary.size, seq2seq=recipe.task in TWO_TEXTS, labels=())
    if isinstance(config, ModelConfig):
        hf_config(config)


def teachable(recipe: Recipe) -> dict[str, Recipe]:
    """The recipe of each teacher by its name.

    Raises:
        ConfigError: changes that make no recipe, or a model that could not translate, for it is not kept.
    """
    own = teacher_recipes(recipe)
    for name, each in own.items():
        try:
            keepable(each)
        except ConfigError as e:
            raise ConfigError(f"teacher {name} translates with the model that it leaves, and {e}") from None
    return own


def model_size(recipe: Recipe, labels: tuple[str, ...] = ()) -> dict[str, Any] | None:
    """Numbers of the new model by what they are for, at the size of vocabulary that the recipe allows; None where a
    loaded model is the beginning.

    Raises:
        ConfigError: sizes that no such model can have.
    """
    if recipe.model is None or recipe.vocabulary is None:
        return None
    seq2seq = recipe.task in TWO_TEXTS
    config = configure(recipe.model, recipe.vocabulary.size, seq2seq=seq2seq, labels=labels)
    shapes = sizes(config)
    embeddings = sum(count for name, count in shapes.items() if name.startswith("embed."))
    return {"embeddings": embeddings, "others": sum(shapes.values()) - embeddings}


def sizes(config: ModelConfig | RecurrentConfig) -> dict[str, int]:
    """How many numbers each weight has."""
    shapes = recurrent_layout(config) if isinstance(config, RecurrentConfig) else layout(config)
    return {name: math.prod(shape) for name, shape in shapes.items()}
