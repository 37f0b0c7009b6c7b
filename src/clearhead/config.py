"""What distinguishes one Transformer from another, and one generation request from another, as data.

A `ModelConfig` is a point in the space spanned by the seven architectures. Its `family` is a label for people and for
the registry in `families/`; every other module reads only the choices below it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Protocol, get_args, get_origin

from clearhead.errors import ConfigError, OptionError, UnsupportedError

Norm = Literal["layer", "layer_without_bias", "rms"]
Position = Literal["sinusoidal", "learned", "rotary", "alibi", "relative"]
Activation = Literal["relu", "gelu", "gelu_tanh", "silu"]
Head = Literal["none", "lm", "mlm", "token_labels", "sequence_labels"]

LARGEST_SIZE = 2**31 - 1  # of any one dimension; a larger one is a damaged file, not a model
MOST_LAYERS = 1024  # of one stack; the names of all weights are written out before a file is searched for them


@dataclass(frozen=True, kw_only=True, slots=True)
class RotaryScaling:
    """How rotary frequencies are stretched beyond the length a model was first trained on.

    `linear` (Chen et al. 2023, 2306.15595) divides every frequency by `factor`; `llama3` (Llama 3.1) divides only the
    slow ones; `yarn` (Peng et al. 2023, 2309.00071) blends the two by wavelength and scales cos and sin by
    `attention_factor`; `factors` divides each frequency by its own number, as GGUF files store it.
    """

    kind: Literal["linear", "llama3", "yarn", "factors"]
    factor: float = 1.0
    original_max_positions: int = 8192
    low_frequency_factor: float = 1.0  # llama3: wavelengths above original / low are divided by `factor`
    high_frequency_factor: float = 4.0  # llama3: wavelengths below original / high are kept
    beta_fast: float = 32.0  # yarn: dimensions that turn more often than this within the original length are kept
    beta_slow: float = 1.0  # yarn: dimensions that turn less often than this are divided by `factor`
    attention_factor: float = 1.0  # yarn: multiplies cos and sin
    truncate: bool = True  # yarn: round the two bounds of the blend to whole dimensions
    factors: tuple[float, ...] = ()  # one per frequency, head_dim / 2 of them

    def __post_init__(self) -> None:
        check_choices(self)
        numbers = (
            self.factor,
            self.attention_factor,
            self.high_frequency_factor,
            self.low_frequency_factor,
            *self.factors,
        )
        turns = (self.beta_fast, self.beta_slow)
        sane = all(math.isfinite(n) and n > 0 for n in numbers) and all(1e-9 <= n <= 1e9 for n in turns)
        if not sane or not 1 <= self.original_max_positions <= LARGEST_SIZE:
            raise ConfigError(f"rotary scaling {self.kind!r} needs finite, positive numbers, not {self}")
        if self.kind == "llama3" and self.low_frequency_factor >= self.high_frequency_factor:
            low, high = self.low_frequency_factor, self.high_frequency_factor
            raise ConfigError(f"rotary scaling 'llama3' needs its low frequency factor {low} below its high one {high}")


class Architecture(Protocol):
    """What callers read of the configuration of any model, be it a Transformer's or another's."""

    @property
    def family(self) -> str:
        """A label for people."""

    @property
    def kind(self) -> Literal["encoder", "decoder", "encoder-decoder"]:
        """Which of the two stacks the model has."""

    @property
    def vocab_size(self) -> int:
        """Ids it knows: 0 to vocab_size - 1."""

    @property
    def max_positions(self) -> int:
        """The context window."""

    @property
    def n_encoder_layers(self) -> int:
        """0 without an encoder."""

    @property
    def n_decoder_layers(self) -> int:
        """0 without a decoder."""

    @property
    def head(self) -> Head:
        """What its outputs are scores of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """One Transformer. Sizes are counts, `norm_eps` is added to a variance; see DESIGN's table for the seven families.

    Raises:
        ConfigError: a size that is not positive, heads that cannot share keys, or choices that contradict each other.
    """

    family: str

    # Size
    vocab_size: int
    d_model: int
    d_ff: int
    n_heads: int
    n_kv_heads: int  # n_heads: multi-head; 1: multi-query; in between: grouped-query
    head_dim: int
    n_encoder_layers: int = 0
    n_decoder_layers: int = 0
    max_positions: int  # the context window; the length of the table where positions have one

    # Normalisation and residual
    norm: Norm = "layer"
    norm_placement: Literal["pre", "post"] = "pre"
    norm_eps: float = 1e-5
    residual: Literal["sequential", "parallel"] = "sequential"

    # Position
    position: Position
    rotary_base: float = 10_000.0
    rotary_scaling: RotaryScaling | None = None
    relative_buckets: int = 32
    relative_max_distance: int = 128

    # Attention and MLP
    attention_bias: Literal["none", "qkv", "all"] = "all"
    attention_scale: float | None = None  # None: 1 / sqrt(head_dim)
    activation: Activation = "gelu"
    mlp: Literal["plain", "gated"] = "plain"
    mlp_bias: bool = True

    # Embedding and head
    n_token_types: int = 0
    embedding_scale: float = 1.0
    embedding_norm: bool = False
    pooler: bool = False  # BERT's tanh layer over the first token
    head: Head = "lm"
    head_bias: bool = False
    tied: bool = True  # the head's projection is the token embedding
    logit_scale: float = 1.0
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_choices(self)
        check_sizes(self)
        check_agreement(self)

    @property
    def kind(self) -> Literal["encoder", "decoder", "encoder-decoder"]:
        """Which of the two stacks this model has."""
        if self.n_encoder_layers and self.n_decoder_layers:
            return "encoder-decoder"
        return "encoder" if self.n_encoder_layers else "decoder"

    @property
    def score_scale(self) -> float:
        """What query-key products are multiplied by (Vaswani et al. 2017, equation 1)."""
        return self.head_dim**-0.5 if self.attention_scale is None else self.attention_scale


def transformer(config: Architecture) -> ModelConfig:
    """The configuration of a Transformer, for what only a Transformer has to show.

    Raises:
        UnsupportedError: it is another kind of model.
    """
    if not isinstance(config, ModelConfig):
        raise UnsupportedError(f"this model's family is {config.family!r}; only a Transformer can be traced and edited")
    return config


def with_head(config: ModelConfig, head: Head, labels: tuple[str, ...]) -> ModelConfig:
    """An encoder with this head."""
    if (config.head, config.labels) == (head, labels):
        return config
    return replace(config, head=head, labels=labels, head_bias=head == "mlm", pooler=False)


def check_choices(config: Any) -> None:
    """Refuse a value outside a field's `Literal`, naming the alternatives."""
    for f in fields(config):
        value, hint = getattr(config, f.name), f.type
        if get_origin(hint) is Literal and value not in get_args(hint):
            raise ConfigError(f"{f.name} is {value!r}; choose one of {', '.join(map(repr, get_args(hint)))}")


def check_sizes(config: ModelConfig) -> None:
    """Refuse counts that are not whole numbers in range, and scales that are not finite."""
    may_be_zero = ("n_encoder_layers", "n_decoder_layers", "n_token_types")
    for f in fields(config):
        value = getattr(config, f.name)
        if f.type is int:
            low, high = 0 if f.name in may_be_zero else 1, MOST_LAYERS if f.name.endswith("_layers") else LARGEST_SIZE
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise ConfigError(f"{f.name} is {value!r}; it must be a whole number from {low} to {high}")
        elif f.type is float and not (isinstance(value, int | float) and math.isfinite(value)):
            raise ConfigError(f"{f.name} is {value!r}; it must be a finite number")
    if config.norm_eps < 0 or config.rotary_base <= 1:
        raise ConfigError(
            f"norm_eps {config.norm_eps} must not be negative, rotary_base {config.rotary_base} must exceed 1"
        )


def check_agreement(config: ModelConfig) -> None:
    """Refuse choices that contradict each other."""
    c = config
    rules = [
        (c.n_heads % c.n_kv_heads == 0, f"{c.n_heads} query heads cannot share {c.n_kv_heads} key/value heads evenly"),
        (
            bool(c.n_encoder_layers or c.n_decoder_layers),
            "a model needs encoder layers, decoder layers or both; both are 0",
        ),
        (
            c.residual == "sequential" or c.norm_placement == "pre",
            "a parallel residual reads one shared norm, placed 'pre'",
        ),
        (c.residual == "sequential" or c.kind == "decoder", "a parallel residual is defined for decoder-only models"),
        (c.position != "rotary" or c.head_dim % 2 == 0, f"rotary positions turn pairs; head_dim {c.head_dim} is odd"),
        (
            c.position != "relative" or c.relative_buckets >= 4,
            f"relative_buckets {c.relative_buckets} must be at least 4",
        ),
        (
            c.position != "relative" or c.relative_max_distance > c.relative_buckets // 2,
            f"relative_max_distance {c.relative_max_distance} must exceed half of the {c.relative_buckets} buckets",
        ),
        (not c.head.endswith("labels") or bool(c.labels), f"head {c.head!r} needs at least one label"),
        (c.head != "sequence_labels" or c.pooler, "head 'sequence_labels' reads the pooler; set pooler=True"),
        (c.head == "lm" or c.kind == "encoder", f"head {c.head!r} belongs to an encoder-only model"),
    ]
    for holds, message in rules:
        if not holds:
            raise ConfigError(message)
    scaling = c.rotary_scaling
    if scaling is not None and scaling.kind == "factors" and len(scaling.factors) != c.head_dim // 2:
        raise ConfigError(
            f"rotary scaling has {len(scaling.factors)} factors; head_dim {c.head_dim} needs {c.head_dim // 2}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SpecialTokens:
    """The ids that steer generation, read from the checkpoint."""

    bos: int | None = None
    eos: tuple[int, ...] = ()  # any of them ends a sequence
    pad: int | None = None
    unknown: int | None = None
    mask: int | None = None
    decoder_start: int | None = None  # what a decoder with an encoder begins with
    suppressed: tuple[int, ...] = ()  # never generated (Marian forbids its padding token)


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationConfig:
    """One request: how to choose the next token, and when to stop.

    The defaults are greedy and repeatable. `temperature` 0 is greedy; `top_k` 0, `top_p` 1 and `min_p` 0 cut nothing.

    Raises:
        OptionError: a value of the wrong type or outside its range, or options that exclude each other.
    """

    max_new_tokens: int = 256
    min_new_tokens: int = 0
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0  # Keskar et al. 2019, section 4.1; over prompt and new tokens
    presence_penalty: float = 0.0  # subtracted once from every token already generated
    frequency_penalty: float = 0.0  # subtracted per time a token was already generated
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    stop: tuple[str, ...] = ()
    stop_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    seed: int | None = None  # None: a fresh one, reported with the result
    logprobs: int | None = None  # how many alternatives to report per token; 0: the chosen one alone
    prompt_logprobs: bool = False
    n: int = 1  # samples per prompt; with beams, the best n
    beams: int = 1
    length_penalty: float = 1.0  # a finished beam scores sum of logprobs / length ** length_penalty
    early_stopping: bool = False  # True: stop once `beams` hypotheses are finished
    draft_tokens: int = 0  # prompt-lookup speculation: how many tokens to guess ahead (greedy only)

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            check_number(name, getattr(self, name), low, high, whole=name in WHOLE)
        check_collections(self)
        for token, bias in self.logit_bias.items():
            check_number("logit_bias token id", token, 0, LARGEST_SIZE, whole=True)
            check_number(f"logit_bias[{token}]", bias, -1e9, 1e9, whole=False)
        if len(self.stop) > 64 or not all(isinstance(s, str) and 0 < len(s) <= 1024 for s in self.stop):
            raise OptionError("stop takes at most 64 strings of 1 to 1024 characters each")
        for token in self.stop_ids:
            check_number("stop_ids", token, 0, LARGEST_SIZE, whole=True)
        check_exclusions(self)


WHOLE = frozenset({"max_new_tokens", "min_new_tokens", "top_k", "n", "beams", "draft_tokens", "seed", "logprobs"})
RANGES: dict[str, tuple[float, float]] = {
    "max_new_tokens": (0, 2**24),
    "min_new_tokens": (0, 2**24),
    "temperature": (0.0, 100.0),
    "top_k": (0, LARGEST_SIZE),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (1e-3, 1e3),
    "presence_penalty": (-1e3, 1e3),
    "frequency_penalty": (-1e3, 1e3),
    "seed": (0, 2**63 - 1),
    "logprobs": (0, 1000),
    "n": (1, 1024),
    "beams": (1, 256),
    "length_penalty": (-10.0, 10.0),
    "draft_tokens": (0, 256),
}
OPTIONAL = frozenset({"seed", "logprobs"})


def check_number(name: str, value: object, low: float, high: float, *, whole: bool) -> None:
    """Refuse anything but a finite number of the right kind within [low, high]."""
    if value is None and name in OPTIONAL:
        return
    kind = int if whole else int | float
    if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:  # NaN is in no range
        word, reach = (
            ("a whole number", f"{int(low)} to {int(high)}") if whole else ("a number", f"{low:g} to {high:g}")
        )
        raise OptionError(f"{name} is {value!r}; it must be {word} from {reach}")


def check_collections(config: GenerationConfig) -> None:
    """Refuse one string where a list is wanted (its letters would be taken for it), and switches that are not bools."""
    for name in ("stop", "stop_ids"):
        if not isinstance(getattr(config, name), tuple | list):
            raise OptionError(f"{name} is {getattr(config, name)!r:.60}; it must be a list, even of one")
    if not isinstance(config.logit_bias, Mapping):
        raise OptionError(f"logit_bias is {config.logit_bias!r:.60}; it must map token ids to numbers")
    for name in ("ignore_eos", "prompt_logprobs", "early_stopping"):
        if not isinstance(getattr(config, name), bool):
            raise OptionError(f"{name} is {getattr(config, name)!r:.60}; it must be true or false")


def check_exclusions(config: GenerationConfig) -> None:
    """Refuse options that cannot hold together."""
    c = config
    sampling = c.temperature > 0
    rules = [
        (
            c.top_p > 0,
            "top_p is 0, which leaves no token; use a value above 0, or temperature 0 for the likeliest token",
        ),
        (
            c.min_new_tokens <= c.max_new_tokens,
            f"min_new_tokens {c.min_new_tokens} exceeds max_new_tokens {c.max_new_tokens}",
        ),
        (c.beams == 1 or not sampling, "beam search is deterministic; drop beams or set temperature to 0"),
        (c.beams == 1 or c.n <= c.beams, f"n {c.n} exceeds beams {c.beams}; beam search keeps `beams` hypotheses"),
        (
            c.n == 1 or sampling or c.beams > 1,
            f"n {c.n} greedy completions would be equal; set temperature above 0, or beams",
        ),
        (
            not c.draft_tokens or (not sampling and c.beams == 1),
            "draft_tokens needs greedy decoding: temperature 0, beams 1",
        ),
    ]
    for holds, message in rules:
        if not holds:
            raise OptionError(message)
