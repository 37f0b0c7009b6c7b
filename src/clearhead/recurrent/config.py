"""What distinguishes one recurrent model from another, as data."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from clearhead.config import LARGEST_SIZE, MOST_LAYERS, Head, check_choices
from clearhead.errors import ConfigError
from clearhead.families.fields import Fields

Cell = Literal["lstm", "gru"]
Score = Literal["additive", "general"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RecurrentConfig:
    """A recurrent language model, or with encoder layers an encoder and a decoder that attends to it.

    `attention` is how a state of the decoder is scored against one of the encoder: "additive" (Bahdanau et al. 2015,
    1409.0473, appendix A.1.2) or "general" (Luong et al. 2015, 1508.04025, equation 8). With `input_feeding` (the same,
    section 3.3) a step also reads what the step before it said, so steps can only be trained one after the other.

    Raises:
        ConfigError: a size that is not positive, or choices that contradict each other.
    """

    # Size
    vocab_size: int
    d_embedding: int
    d_hidden: int  # of the decoder; each direction of an encoder has half of it
    n_encoder_layers: int = 0
    n_decoder_layers: int
    max_positions: int  # recurrence has no window of its own; this is how long a sequence callers may ask for

    # Choices
    cell: Cell = "lstm"
    attention: Score = "general"
    input_feeding: bool = False

    # Head
    tied: bool = True  # the head's vectors are the embedding's
    head_bias: bool = True

    def __post_init__(self) -> None:
        check_choices(self)
        for f in fields(self):
            check_field(f.name, f.type, getattr(self, f.name))
        if self.n_encoder_layers and self.d_hidden % 2:
            raise ConfigError(f"d_hidden {self.d_hidden} is odd; each direction of an encoder has half of it")
        if self.input_feeding and not self.n_encoder_layers:
            raise ConfigError("input feeding is of what attention found; without encoder layers set it to False")

    @property
    def family(self) -> str:
        """A label for people."""
        return "rnn"

    @property
    def kind(self) -> Literal["encoder", "decoder", "encoder-decoder"]:
        """Which of the two stacks this model has."""
        return "encoder-decoder" if self.n_encoder_layers else "decoder"

    @property
    def d_model(self) -> int:
        """The width of the states that the head reads."""
        return self.d_hidden

    @property
    def head(self) -> Head:
        """Always a language model's."""
        return "lm"

    @property
    def labels(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def gates(self) -> int:
        """Products of a cell with its input: the LSTM's three gates and candidate, the GRU's two and candidate."""
        return 4 if self.cell == "lstm" else 3

    @property
    def vectors(self) -> int:
        """Vectors of d_hidden that a step hands to the next: of each layer the output, and an LSTM's cell; what is fed
        back."""
        return self.n_decoder_layers * (2 if self.cell == "lstm" else 1) + self.input_feeding

    @property
    def projects(self) -> bool:
        """Whether states must become as wide as the embedding before they can be compared with it."""
        return self.tied and self.d_embedding != self.d_hidden


def check_field(name: str, kind: Any, value: object) -> None:
    """Refuse counts that are not whole numbers in range, and switches that are neither true nor false."""
    if kind is bool and not isinstance(value, bool):
        raise ConfigError(f"{name} is {value!r}; it must be true or false")
    if kind is int:
        low, high = int(name != "n_encoder_layers"), MOST_LAYERS if name.endswith("_layers") else LARGEST_SIZE
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ConfigError(f"{name} is {value!r}; it must be a whole number from {low} to {high}")


def to_json(config: RecurrentConfig) -> dict[str, Any]:
    """The configuration as config.json has it."""
    return asdict(config)


def from_json(values: Fields) -> RecurrentConfig:
    """The configuration in a config.json, every field of which must be there.

    Raises:
        ConfigError: a field that is missing, of another type or out of range.
    """
    read: dict[Any, Callable[[str], Any]] = {int: values.integer, bool: values.flag}
    return RecurrentConfig(**{f.name: read.get(f.type, values.text)(f.name) for f in fields(RecurrentConfig)})
