"""The groups of keys that a recipe is made of. Each key explains itself, and none is read that is not here."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from clearhead.checkpoints.companions import language as plain_code
from clearhead.errors import OptionError
from clearhead.training.data.schema import Strict
from clearhead.training.data.sources import DataConfig
from clearhead.training.data.split import SplitConfig
from clearhead.trees.automaton import Order
from clearhead.trees.linear import Leaves, Scheme

SHAPE = ("model", "vocabulary")  # what a run that goes on with a teacher's weights shares with it
Share = Annotated[float, Field(ge=0, lt=1)]


def code_of(language: str) -> str:
    """The code of a language, without its country."""
    try:
        return plain_code(language, "a language")
    except OptionError as e:
        raise ValueError(str(e)) from None


Code = Annotated[str, AfterValidator(code_of)]


class Band(Strict):
    """A result that the recipe is expected to give."""

    what: str = Field(description="Where results.json has it, such as scores.test2016.bleu.")
    low: float | None = Field(default=None, description="At least this.")
    high: float | None = Field(default=None, description="At most this.")

    @model_validator(mode="after")
    def bounded(self) -> "Band":
        """Something must be expected, and possible."""
        if self.low is None and self.high is None:
            raise ValueError("give low, high, or both")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class Trees(Strict):
    """How trees are written for a decoder."""

    order: Order = Field(
        default="in-order",
        description="top-down: a bracket opens before all it holds; in-order: behind its first child, with more known.",
    )
    leaves: Leaves = Field(
        default="mark", description="mark: a word is announced by one and the same token; tag: by its tag, predicted."
    )
    spelled: bool = Field(
        default=True, description="Behind that token come the word's own pieces, which the decoder need not choose."
    )
    numbered: bool = Field(
        default=False, description="Words have numbers in the sentence and in the tree, by which attention finds them."
    )

    @property
    def scheme(self) -> Scheme:
        """The same, for those who write."""
        return Scheme(order=self.order, leaves=self.leaves, spelled=self.spelled, numbered=self.numbered)


class Data(Strict):
    """Where examples come from."""

    train: DataConfig = Field(description="Examples to learn from.")
    extra: DataConfig | None = Field(
        default=None, description="Examples to learn from as well, of which none is held out; unset: none."
    )
    dev: DataConfig | None = Field(default=None, description="Examples to choose by; unset: `split` holds some out.")
    tests: dict[str, DataConfig] = Field(default_factory=dict, description="Examples to report on, by name.")
    split: SplitConfig | None = Field(
        default=None, description="Hold out dev (and a test) by sentence, without leakage."
    )
    languages: tuple[Code, Code] | None = Field(
        default=None,
        strict=False,
        description="translation: codes of source and target; the model's folder repeats them in "
        "translator.json, and tokenised_bleu cuts words as those of the one that is said.",
    )
    reverse: bool = Field(
        default=False, description="translation: read the targets and say the sources, in train, dev and tests alike."
    )
    max_length: int = Field(default=256, ge=1, description="Examples of more tokens, on either side, are dropped.")
    resegment: float = Field(
        default=0.0, ge=0, lt=1, description="BPE-dropout: the share of merges left out, anew in each epoch."
    )
    join: float = Field(
        default=0.0, ge=0, lt=1, description="translation: the chance that a row goes on with another, anew each epoch."
    )
    trees: Trees = Field(
        default=Trees(), description="parsing: how trees are written; the model's folder says it in trees.json."
    )

    @property
    def pair(self) -> tuple[str, str] | None:
        """Codes of the language that is read and of the one that is said, where they are named."""
        if self.languages is None:
            return None
        return (self.languages[1], self.languages[0]) if self.reverse else self.languages

    @model_validator(mode="after")
    def two(self) -> "Data":
        """A translator has two languages."""
        if self.languages and self.languages[0] == self.languages[1]:
            raise ValueError(f"languages are both {self.languages[0]}; give that of the source and that of the target")
        return self


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
    restarts: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(), strict=False, description="cosine: the steps at which it begins once more."
    )
    again: float = Field(default=1.0, gt=0, le=1, description="cosine: the share of the peak that it comes to then.")

    @model_validator(mode="after")
    def ordered(self) -> "Schedule":
        """Restarts are of cosines, one after the other."""
        if self.restarts and self.kind != "cosine":
            raise ValueError(f"restarts are of cosines, and kind is {self.kind}; leave them out")
        if list(self.restarts) != sorted({*self.restarts}):
            raise ValueError(f"restarts {list(self.restarts)} are out of order; name each step once, the first first")
        return self


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
    consistency: float = Field(
        default=0.0, ge=0, description="R-Drop: the weight of two passes' divergence; 0: no second."
    )
    consistency_from: int = Field(default=0, ge=0, description="R-Drop: the step it begins with; early it only slows.")
    clip: float | None = Field(default=1.0, gt=0, description="The longest gradient; null: any.")
    lr: float = Field(gt=0, description="The schedule's peak.")
    betas: tuple[Share, Share] = Field(default=(0.9, 0.98), strict=False, description="Adam's decays.")
    eps: float = Field(default=1e-9, gt=0, description="Adam's epsilon.")
    weight_decay: float = Field(default=0.0, ge=0, description="Of matrices.")
    schedule: Schedule = Field(default=Schedule(), description="The learning rate over the steps.")
    average: Average = Field(default=Average(), description="Evaluated and exported in place of the last weights.")
    compile: bool = Field(default=False, description="torch.compile the blocks, on a GPU; a processor has kernels.")
    record: bool = Field(
        default=False, description="One process on a GPU, a Transformer: record passes by shape, and replay them."
    )
    parallel: Literal["ddp", "fsdp"] = Field(
        default="ddp", description="On several processes: a copy of the model on each, or a part of every weight."
    )
    recompute: bool = Field(default=False, description="Activation checkpointing: memory for time.")
    mask: float = Field(default=0.15, gt=0, lt=1, description="masked and spans: the share of tokens hidden.")
    span: float = Field(default=3.0, ge=1, description="spans: the mean length of what is hidden.")

    @model_validator(mode="after")
    def long_enough(self) -> "Training":
        """A restart comes before the end."""
        if self.schedule.restarts and self.schedule.restarts[-1] >= self.steps:
            raise ValueError(
                f"schedule.restarts has {self.schedule.restarts[-1]}, and steps is {self.steps}; restart before the end"
            )
        return self


class Evaluation(Strict):
    """What is measured, when."""

    every: int = Field(default=500, ge=1, description="Steps between evaluations on dev.")
    patience: int | None = Field(default=None, ge=1, description="Evaluations without a better loss before stopping.")
    keep: Literal["best", "last"] = Field(default="last", description="Which weights are tested and exported.")
    scores: tuple[str, ...] = Field(
        default=(), strict=False, description="Of generated text: bleu, tokenised_bleu, chrf; parsing: f1; labels: f1."
    )
    dev_scores: tuple[str, ...] = Field(
        default=(), strict=False, description="Of greedy translations of dev, at each evaluation: bleu and the like."
    )
    dev_limit: int = Field(default=500, ge=1, description="How many sentences of dev are translated for them.")
    beams: int = Field(default=5, ge=1, description="Beam width of the tests.")
    length_penalty: float = Field(default=1.0, description="A hypothesis scores sum / length ** this.")
    extra: int = Field(
        default=50, ge=1, description="A translation, or tree, may be this many tokens longer than its source."
    )


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


class Teachers(Strict):
    """Models that learn first, by this recipe, and whose translations of the training text are learnt from as well
    (data diversification, Nguyen et al. 2020, 1911.01986)."""

    forward: int = Field(default=2, ge=0, description="How many read the sources and say targets.")
    backward: int = Field(default=2, ge=0, description="How many read the targets and say sources.")
    beams: int = Field(default=5, ge=1, description="Beam width of what they say.")
    begin: bool = Field(
        default=False, description="Go on from the forward one of least loss on dev, with its shape and vocabulary."
    )
    changes: dict[str, Any] = Field(
        default_factory=dict, description="key.sub: value, where their own runs are otherwise than this recipe."
    )

    @model_validator(mode="after")
    def some(self) -> "Teachers":
        """There is one, of the kind that is needed."""
        if not self.forward + self.backward:
            raise ValueError("forward and backward are both 0; leave teachers out")
        if self.begin and not self.forward:
            raise ValueError("begin goes on with a forward one, and forward is 0")
        may = ("training", "evaluation", "saving") if self.begin else ("training", "evaluation", "saving", *SHAPE)
        for path in self.changes:
            if path.partition(".")[0] not in may:
                raise ValueError(f"changes has {path}; teachers may be otherwise in {', '.join(may)}")
        return self

    @field_validator("changes", mode="before")
    @classmethod
    def flat(cls, changes: Any) -> Any:
        """By their paths, where an override put some into groups of their own; the later of two goes behind."""
        if not isinstance(changes, Mapping):
            return changes
        made: dict[str, Any] = {}
        for path, value in (pair for key, group in changes.items() for pair in below(str(key), group)):
            made.pop(path, None)
            made[path] = value
        return made


def below(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The paths with dots that a group without dots stands for."""
    if "." in key or not isinstance(value, Mapping):
        yield key, value
        return
    for name, inner in value.items():
        for path, found in below(str(name), inner):
            yield f"{key}.{path}", found
