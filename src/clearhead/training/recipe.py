"""A recipe: everything that decides a training run, in one YAML file whose keys are explained in it.

Keys are checked before anything is read or computed; `key.sub=value` on the command line overrides one of them.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from clearhead.errors import ConfigError
from clearhead.training.architectures import ModelChoice
from clearhead.training.data.schema import Strict
from clearhead.training.data.sources import DataConfig
from clearhead.training.data.split import SplitConfig
from clearhead.training.vocabulary_config import VocabularyConfig
from clearhead.training.yaml12 import parse

Task = Literal["translation", "causal", "masked", "spans", "labels", "instruct", "parsing"]
TWO_TEXTS = ("translation", "parsing", "spans")  # tasks in which one text is read and another is said


class Band(Strict):
    """A result that the recipe is expected to give."""

    what: str = Field(description="The figure, as results.json names it.")
    low: float | None = Field(default=None, description="At least this.")
    high: float | None = Field(default=None, description="At most this.")


class Data(Strict):
    """Where examples come from."""

    train: DataConfig = Field(description="Examples to learn from.")
    dev: DataConfig | None = Field(default=None, description="Examples to choose by; unset: `split` holds some out.")
    tests: dict[str, DataConfig] = Field(default_factory=dict, description="Examples to report on, by name.")
    split: SplitConfig | None = Field(default=None, description="Hold out dev (and a test) by sentence, without leakage.")
    max_length: int = Field(default=256, ge=1, description="Examples of more tokens, on either side, are dropped.")
    resegment: float = Field(
        default=0.0, ge=0, lt=1, description="BPE-dropout: the share of merges left out, anew in each epoch."
    )


class DropoutRates(Strict):
    """What is left out in training, by place."""

    embedding: float = Field(default=0.0, ge=0, lt=1, description="Of token and position together.")
    residual: float = Field(default=0.0, ge=0, lt=1, description="Of what each sublayer adds.")
    attention: float = Field(default=0.0, ge=0, lt=1, description="Of attention weights.")
    activation: float = Field(default=0.0, ge=0, lt=1, description="Of the MLP's hidden layer.")


class Schedule(Strict):
    """The learning rate over the steps."""

    kind: Literal["inverse_square_root", "cosine", "warmup_stable_decay", "constant"] = Field(
        default="inverse_square_root", description="inverse_square_root is the paper's."
    )
    warmup: int = Field(default=1000, ge=0, description="Steps of linear increase.")
    decay: int = Field(default=0, ge=0, description="warmup_stable_decay: the last steps, in which it falls.")
    floor: float = Field(default=0.0, ge=0, le=1, description="cosine and warmup_stable_decay: the share that is left.")


class Average(Strict):
    """Weights averaged over the run."""

    kind: Literal["none", "ema", "last"] = Field(default="none", description="A moving average, or the last snapshots.")
    decay: float = Field(default=0.999, gt=0, lt=1, description="ema: what stays from step to step.")
    count: int = Field(default=10, ge=1, description="last: how many snapshots.")
    every: int = Field(default=100, ge=1, description="last: steps between them.")


class Training(Strict):
    """How the model learns."""

    steps: int = Field(ge=1, description="Updates of the weights.")
    max_tokens: int = Field(default=4096, ge=1, description="Tokens of a batch on either side, padding included.")
    rows: int = Field(default=32, ge=1, description="Windows of a batch, for tasks over one long text.")
    context: int = Field(default=256, ge=1, description="Tokens of a window, for tasks over one long text.")
    accumulate: int = Field(default=1, ge=1, description="Batches of one update.")
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32", description="Of the arithmetic; weights, their gradients' sums and averages stay float32."
    )
    dropout: DropoutRates = Field(default=DropoutRates(), description="By place.")
    smoothing: float = Field(default=0.0, ge=0, lt=1, description="Label smoothing.")
    consistency: float = Field(default=0.0, ge=0, description="R-Drop: the weight of two passes' divergence; 0: one pass.")
    clip: float | None = Field(default=1.0, gt=0, description="The longest gradient; null: any.")
    lr: float = Field(gt=0, description="The schedule's peak.")
    betas: tuple[float, float] = Field(default=(0.9, 0.98), strict=False, description="Adam's decays.")
    eps: float = Field(default=1e-9, gt=0, description="Adam's epsilon.")
    weight_decay: float = Field(default=0.0, ge=0, description="Of matrices.")
    schedule: Schedule = Field(default=Schedule(), description="The learning rate over the steps.")
    average: Average = Field(default=Average(), description="What is evaluated and exported in place of the last weights.")
    compile: bool = Field(default=False, description="torch.compile the blocks: pays on a GPU (docs/log.md).")
    recompute: bool = Field(default=False, description="Activation checkpointing: memory for time.")
    mask: float = Field(default=0.15, gt=0, lt=1, description="masked and spans: the share of tokens hidden.")
    span: float = Field(default=3.0, ge=1, description="spans: the mean length of what is hidden.")


class Evaluation(Strict):
    """What is measured, when."""

    every: int = Field(default=500, ge=1, description="Steps between evaluations on dev.")
    patience: int | None = Field(default=None, ge=1, description="Evaluations without a better loss before stopping.")
    keep: Literal["best", "last"] = Field(default="last", description="Which weights are tested and exported.")
    scores: tuple[str, ...] = Field(
        default=(), strict=False, description="Of generated text: bleu, tokenised_bleu, chrf; parsing: f1; labels: f1."
    )
    language: str = Field(default="en", description="Of the target, for tokenised_bleu.")
    beams: int = Field(default=5, ge=1, description="Beam width of the tests.")
    length_penalty: float = Field(default=1.0, description="A hypothesis scores sum / length ** this.")
    extra: int = Field(default=50, ge=1, description="A translation may be this many tokens longer than its source.")


class Saving(Strict):
    """Checkpoints to resume from."""

    every: int = Field(default=500, ge=1, description="Steps between checkpoints.")
    keep: int = Field(default=2, ge=1, description="How many are kept.")


class Lora(Strict):
    """Low-rank changes to a loaded model in place of all of its weights (Hu et al. 2021, 2106.09685)."""

    rank: int = Field(default=8, ge=1, description="Columns of each pair of matrices.")
    alpha: float = Field(default=16.0, gt=0, description="Their product is scaled by alpha / rank.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Of what they read.")
    targets: tuple[str, ...] = Field(
        default=("query", "value"), strict=False, description="Ends of the names of the linear layers that are changed."
    )


class Recipe(Strict):
    """A training run."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", description="What the run is called; its folder is runs/NAME.")
    about: str = Field(description="What it is, in a sentence.")
    task: Task = Field(description="What a model is asked to do.")
    seed: int = Field(default=1, ge=0, description="Decides weights, order of data, dropout.")
    folder: str = Field(default="data", description="Where data lies: {folder} in a path stands for it.")
    base: str | None = Field(default=None, description="A model to start from: catalogue name, Hugging Face id or folder.")
    lora: Lora | None = Field(default=None, description="With base: train few weights.")
    data: Data
    vocabulary: VocabularyConfig | None = Field(default=None, description="To be learnt from the training text.")
    model: ModelChoice | None = Field(default=None, description="To be made new; unset with base.")
    training: Training
    evaluation: Evaluation = Field(default=Evaluation())
    saving: Saving = Field(default=Saving())
    expect: tuple[Band, ...] = Field(default=(), strict=False, description="Results that this recipe should give.")

    @model_validator(mode="after")
    def agreed(self) -> "Recipe":
        """Either a new model with a vocabulary, or one to start from."""
        if (self.base is None) == (self.model is None):
            raise ValueError("give either base, a model to start from, or model, one to be made new")
        if self.model is not None and self.vocabulary is None:
            raise ValueError("vocabulary is missing; a new model needs one")
        if self.lora is not None and self.base is None:
            raise ValueError("lora changes a loaded model; give base")
        return self


def bundled() -> list[str]:
    """Names of the recipes that come along."""
    return sorted(f.name.removesuffix(".yaml") for f in files("clearhead.training.recipes").iterdir() if f.name.endswith(".yaml"))


def read_recipe(recipe: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe by file, or by the name of one that comes along, with `key.sub=value` overrides.

    Raises:
        ConfigError: no such recipe, a key or a value that it cannot have, by name.
    """
    text = source_of(recipe)
    try:
        raw = parse(text)
    except yaml.YAMLError as e:
        raise ConfigError(f"{recipe} is no YAML: {' '.join(str(e).split())}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{recipe} holds no keys; a recipe is a YAML mapping")
    for override in overrides:
        apply(raw, override)
    try:
        return Recipe.model_validate(placed(raw, str(raw.get("folder", "data"))))
    except ValidationError as e:
        raise ConfigError(f"{recipe}: {explained(e)}") from None


def source_of(recipe: str | Path) -> str:
    """The text of a recipe."""
    path = Path(recipe)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as e:
            raise ConfigError(f"{path} cannot be read: {e}") from None
    if str(recipe) not in bundled():
        raise ConfigError(f"there is no recipe {str(recipe)!r}; name a file, or one of {', '.join(bundled())}")
    return files("clearhead.training.recipes").joinpath(f"{recipe}.yaml").read_text(encoding="utf-8")


def apply(raw: dict[str, Any], override: str) -> None:
    """Set one key; its value is read as YAML.

    Raises:
        ConfigError: no KEY=VALUE, or a key below one that has no keys.
    """
    path, equals, value = override.partition("=")
    if not equals or not path:
        raise ConfigError(f"{override!r} is no override; write key.sub=value, such as training.steps=100")
    *groups, last = path.split(".")
    place: Any = raw
    for group in groups:
        place = place.setdefault(group, {}) if isinstance(place, dict) else place[int(group)]
    if not isinstance(place, dict):
        raise ConfigError(f"{path}: {groups[-1]!r} has no keys of its own")
    place[last] = parse(value)


def placed(value: Any, folder: str) -> Any:
    """The same with {folder} filled in wherever it stands in a text."""
    if isinstance(value, str):
        return value.replace("{folder}", folder)
    if isinstance(value, Mapping):
        return {key: placed(item, folder) for key, item in value.items()}
    return [placed(item, folder) for item in value] if isinstance(value, list) else value


def explained(error: ValidationError) -> str:
    """The first thing that is wrong, with the key that has it."""
    first, rest = error.errors()[0], len(error.errors()) - 1
    where = ".".join(str(part) for part in first["loc"]) or "the recipe"
    given = "" if first["type"] in ("missing", "value_error") else f", not {str(first['input'])[:60]!r}"
    more = f" (and {rest} more)" if rest else ""
    return f"{where}: {first['msg'].removeprefix('Value error, ')}{given}{more}"
