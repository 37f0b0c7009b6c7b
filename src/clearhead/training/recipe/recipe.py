"""A recipe: everything that decides a training run, in one YAML file whose keys are explained in it.

Keys are checked before anything is read or computed; `key.sub=value` on the command line overrides one of them. Under
`short` a recipe may list such overrides itself, for a run of half a minute that tries everything out.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from clearhead.errors import ClearheadError, ConfigError
from clearhead.training.data.schema import Strict
from clearhead.training.metrics.texts import check_scores
from clearhead.training.recipe.architectures import ModelChoice
from clearhead.training.recipe.complaints import choice, explained
from clearhead.training.recipe.keys import Band, Data, Evaluation, Lora, Saving, Teachers, Training
from clearhead.training.recipe.overrides import overriding, placed, put
from clearhead.training.recipe.vocabulary_keys import VocabularyConfig
from clearhead.training.recipe.yaml12 import explain, parse

Task = Literal["translation", "causal", "masked", "spans", "labels", "instruct", "parsing"]
TWO_TEXTS = ("translation", "parsing", "spans")  # tasks in which one text is read and another is said

WINDOWED = ("causal", "masked", "spans")  # tasks over one long text, cut into windows of training.context
DECIDING = ("task", "base", "lora", "data", "vocabulary", "model", "teachers", "training", "seed")
HOW = tuple(f"training.{key}" for key in ("parallel", "recompute", "compile", "record"))


class Recipe(Strict):
    """A training run."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", description="What the run is called; its folder is runs/NAME.")
    about: str = Field(default="", description="What it is, in a sentence.")
    task: Task = Field(description="What a model is asked to do.")
    seed: int = Field(default=1, ge=0, description="Decides weights, order of data, dropout.")
    folder: str = Field(default="data", description="Where data lies: {folder} in a path stands for it.")
    base: str | None = Field(
        default=None, description="A model to start from: catalogue name, Hugging Face id or folder."
    )
    lora: Lora | None = Field(default=None, description="With base: train few weights.")
    data: Data = Field(description="Where examples come from.")
    vocabulary: VocabularyConfig | None = Field(default=None, description="To be learnt from the training text.")
    model: ModelChoice | None = Field(default=None, description="To be made new; unset with base.")
    teachers: Teachers | None = Field(
        default=None, description="translation: models that learn first, and whose translations are learnt from too."
    )
    training: Training = Field(description="How the model learns.")
    evaluation: Evaluation = Field(default=Evaluation(), description="What is measured, when.")
    saving: Saving = Field(default=Saving(), description="Checkpoints to resume from.")
    expect: tuple[Band, ...] = Field(default=(), strict=False, description="Results that this recipe should give.")
    short: dict[str, Any] = Field(
        default_factory=dict, description="key.sub: value, for a run that only tries everything out."
    )

    @property
    def target_language(self) -> str:
        """The language of the targets; English unless the recipe says otherwise."""
        return self.data.pair[1] if self.data.pair else "en"

    @model_validator(mode="after")
    def translating(self) -> "Recipe":
        """What only a translator has."""
        if self.teachers is not None and self.teachers.begin and self.base is not None:
            raise ValueError("base and teachers.begin both say what to begin with; give one of the two")
        if self.task == "translation":
            return self
        d = self.data
        if d.join:
            raise ValueError(f"data.join joins pairs of sentences, and {self.task} has none; leave it out")
        if d.languages:
            raise ValueError(f"data.languages are those of translations, and the task is {self.task}; leave them out")
        if self.evaluation.dev_scores:
            raise ValueError(f"evaluation.dev_scores are of translations; remove them, for the task is {self.task}")
        for key, value in (("data.reverse", d.reverse), ("teachers", self.teachers)):
            if value:
                raise ValueError(f"{key} is for translations, and the task is {self.task}; leave it out")
        return self

    @model_validator(mode="after")
    def possible(self) -> "Recipe":
        """Keys that one task has and another has not, or that exclude each other."""
        if self.task == "parsing" and self.data.resegment:
            raise ValueError("data.resegment cuts words anew, and a tree spells each in one way; leave it out")
        t = self.training
        if t.record and (t.compile or t.recompute):
            raise ValueError("training.record records what compile and recompute change; give one of the three")
        if not self.data.languages and "tokenised_bleu" in (*self.evaluation.scores, *self.evaluation.dev_scores):
            raise ValueError("tokenised_bleu cuts words as their language does; give data.languages, such as [en, de]")
        if self.model is not None and self.task in WINDOWED and t.context > self.model.max_positions:
            raise ValueError(
                f"training.context is {t.context}, and the model reads model.max_positions = "
                f"{self.model.max_positions} tokens; raise that, or lower context"
            )
        return self

    @model_validator(mode="after")
    def agreed(self) -> "Recipe":
        """Either a new model with a vocabulary, or one to start from; and scores that there are."""
        if (self.base is None) == (self.model is None):
            raise ValueError("give either base, a model to start from, or model, one to be made new")
        if self.model is not None and self.vocabulary is None:
            raise ValueError("vocabulary is missing; a new model needs one")
        if self.lora is not None and self.base is None:
            raise ValueError("lora changes a loaded model; give base")
        for key in ("scores", "dev_scores"):
            try:
                check_scores(getattr(self.evaluation, key), self.task)
            except ClearheadError as e:
                raise ValueError(f"evaluation.{key}: {e}") from None
        return self


def bundled() -> list[str]:
    """Names of the bundled recipes."""
    names = (file.name for file in files("clearhead.training.recipes").iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def read_recipe(recipe: str | Path, overrides: Sequence[str] = (), *, short: bool = False) -> Recipe:
    """A recipe by file, by the folder of a run, or by the name of a bundled one. `short` takes its short form;
    `overrides` (key.sub=value) come after that.

    Raises:
        ConfigError: no such recipe, a key or a value that it cannot have, by name.
    """
    raw = read_keys(source_of(recipe), recipe)
    brief = shortened(raw, recipe)
    if short and not raw.get("short"):
        raise ConfigError(f"{recipe} has no short form; list under short: what is less in it, as training.steps: 30")
    if short:
        return checked(overridden(brief, overrides), recipe)
    whole = checked(overridden(copied(raw), overrides), recipe)
    if raw.get("short"):
        checked(brief, recipe, "its short form, ")
    return whole


def source_of(recipe: str | Path) -> str:
    """The text of a recipe."""
    path = Path(recipe)
    if (path / "recipe.yaml").is_file():
        path = path / "recipe.yaml"
    if path.suffix in (".yaml", ".yml") or path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as e:
            raise ConfigError(f"{path} is not in UTF-8 (byte {e.start}); convert it") from None
        except OSError as e:
            raise ConfigError(f"{path} cannot be read: {e.strerror}") from None
    if str(recipe) not in bundled():
        raise ConfigError(f"there is no recipe {str(recipe)!r}; {choice(str(recipe), bundled())}")
    return files("clearhead.training.recipes").joinpath(f"{recipe}.yaml").read_text(encoding="utf-8")


def read_keys(text: str, recipe: str | Path) -> dict[str, Any]:
    """The keys of a recipe's text, unchecked."""
    try:
        raw = parse(text)
    except yaml.YAMLError as e:
        raise ConfigError(f"{recipe} is no YAML: {explain(e)}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{recipe} holds no keys; a recipe is a YAML mapping")
    return raw


def shortened(raw: Mapping[str, Any], recipe: str | Path) -> dict[str, Any]:
    """The keys of the short form, of which no particular result is expected."""
    overrides = raw.get("short") or {}
    brief = {key: copied(value) for key, value in raw.items() if key != "short"}
    if not isinstance(overrides, dict):
        raise ConfigError(f"{recipe}: short is {overrides!r}; it lists keys with dots and their values")
    if overrides:
        brief.pop("expect", None)
    for path, value in overrides.items():
        try:
            put(brief, path, value)
        except ConfigError as e:
            raise ConfigError(f"{recipe}: short, {e}") from None
    return brief


def overridden(raw: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The same keys with some set from outside; where they decide what is learnt, what the recipe expects is no longer
    to be expected."""
    paths = [overriding(raw, override) for override in overrides]
    if any(map(decides, paths)) and not any(path.partition(".")[0] == "expect" for path in paths):
        raw.pop("expect", None)
    return raw


def decides(path: str) -> bool:
    """Whether a key decides what is learnt, and not only where, how fast or for whom."""
    return path.partition(".")[0] in DECIDING and path not in HOW


def copied(value: Any) -> Any:
    """The same in groups and lists of its own."""
    if isinstance(value, Mapping):
        return {key: copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value


def checked(raw: dict[str, Any], recipe: str | Path, form: str = "") -> Recipe:
    """A recipe of these keys.

    Raises:
        ConfigError: one that is wrong.
    """
    full = placed(raw, str(raw.get("folder", "data")))
    try:
        return Recipe.model_validate(full)
    except ValidationError as e:
        raise ConfigError(f"{recipe}: {form}{explained(e, full, Recipe)}") from None
