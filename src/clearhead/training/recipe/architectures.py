"""The seven architectures, and the RNN they replaced, as what a recipe names: sizes from the recipe, choices from here.

The table is that of docs/structure.md and of each family's page, for models that are made new; a recipe may change any
field. Whatever is made must be expressible in the family's own config.json, or it is only for comparison and is not
exported.
"""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, model_validator

from clearhead.config import ModelConfig
from clearhead.errors import ConfigError
from clearhead.recurrent.config import RecurrentConfig
from clearhead.training.data.schema import Strict

Architecture = Literal["transformer", "bert", "gpt2", "llama", "t5", "bloom", "palm", "rnn"]
NO_BIAS = {"attention_bias": "none", "mlp_bias": False}
CHOICES: dict[str, dict[str, Any]] = {
    "transformer": {"norm_placement": "post", "position": "sinusoidal", "activation": "relu", "head_bias": True},
    "bert": {
        "norm_placement": "post",
        "position": "learned",
        "activation": "gelu",
        "n_token_types": 2,
        "embedding_norm": True,
        "norm_eps": 1e-12,
        "head": "mlm",
        "head_bias": True,
    },
    "gpt2": {"position": "learned", "activation": "gelu_tanh"},
    "llama": {"norm": "rms", "position": "rotary", "activation": "silu", "mlp": "gated", **NO_BIAS, "tied": True},
    "t5": {
        "norm": "rms",
        "norm_eps": 1e-6,
        "position": "relative",
        "activation": "relu",
        "attention_scale": 1.0,
        **NO_BIAS,
    },
    "bloom": {"position": "alibi", "activation": "gelu_tanh", "embedding_norm": True},
    "palm": {
        "norm": "layer_without_bias",
        "position": "rotary",
        "activation": "silu",
        "mlp": "gated",
        "residual": "parallel",
        **NO_BIAS,
    },
}
STACKS = {"transformer": (True, True), "t5": (True, True), "bert": (True, False)}  # the others are decoders


class ModelChoice(Strict):
    """A model to be made new."""

    architecture: Architecture = Field(description="transformer (2017), bert, gpt2, llama, t5, bloom, palm or rnn.")
    d_model: int = Field(ge=1, description="Width of the states; of an RNN's embedding.")
    d_ff: int = Field(default=0, ge=0, description="Width of the MLP's hidden layer; of an RNN's states.")
    n_heads: int = Field(default=1, ge=1, description="Attention heads.")
    n_kv_heads: int | None = Field(default=None, description="Heads of keys and values; unset: as the family has them.")
    head_dim: int | None = Field(default=None, description="Width of a head; unset: d_model / n_heads.")
    n_layers: int | Annotated[tuple[int, int], Field(strict=False)] = Field(
        description="Layers; of two stacks both have as many, or [encoder, decoder]."
    )
    max_positions: int = Field(default=512, ge=1, description="The context window.")
    changes: dict[str, Any] = Field(
        default_factory=dict, description="Other fields of the model's configuration, such as position: learned."
    )

    @model_validator(mode="after")
    def whole(self) -> "ModelChoice":
        """What every choice needs to be complete."""
        if self.d_ff == 0:
            raise ValueError("d_ff is missing: the width of the MLP's hidden layer, or of an RNN's states")
        return self


Layers = tuple[int, int]  # of encoder and decoder
Config = TypeVar("Config", ModelConfig, RecurrentConfig)


def stack_layers(choice: ModelChoice, *, seq2seq: bool) -> Layers:
    """How many layers each stack has."""
    if isinstance(choice.n_layers, tuple):
        return choice.n_layers
    encoder, decoder = (
        (seq2seq, True) if choice.architecture == "rnn" else STACKS.get(choice.architecture, (False, True))
    )
    return choice.n_layers * encoder, choice.n_layers * decoder


def configure(
    choice: ModelChoice, vocab_size: int, *, seq2seq: bool, labels: tuple[str, ...] = ()
) -> ModelConfig | RecurrentConfig:
    """The configuration of a new model; `seq2seq` where it reads one text and says another.

    Raises:
        ConfigError: sizes or changes that no such model can have.
    """
    encoder, decoder = stack_layers(choice, seq2seq=seq2seq)
    if seq2seq and not (encoder and decoder):
        raise ConfigError(
            f"{choice.architecture} has no encoder beside a decoder; this task needs transformer, t5 or rnn"
        )
    sizes: dict[str, Any] = {
        "vocab_size": vocab_size,
        "n_encoder_layers": encoder,
        "n_decoder_layers": decoder,
        "max_positions": choice.max_positions,
    }
    if choice.architecture == "rnn":
        fields = {**sizes, "d_embedding": choice.d_model, "d_hidden": choice.d_ff, **choice.changes}
        return made(RecurrentConfig, fields)
    shared = choice.architecture == "palm"
    fields = {
        "family": choice.architecture,
        **sizes,
        "d_model": choice.d_model,
        "d_ff": choice.d_ff,
        "n_heads": choice.n_heads,
        "n_kv_heads": choice.n_kv_heads or (1 if shared else choice.n_heads),
        "head_dim": choice.head_dim or divided(choice),
        **scales(choice),
        **CHOICES[choice.architecture],
        **({"head": "token_labels", "labels": labels, "head_bias": False} if labels else {}),
        **choice.changes,
    }
    return made(ModelConfig, fields)


def scales(choice: ModelChoice) -> dict[str, float]:
    """The two that depend on the width."""
    if choice.architecture == "transformer":
        return {"embedding_scale": choice.d_model**0.5}
    return {"logit_scale": choice.d_model**-0.5} if choice.architecture in ("t5", "palm") else {}


def divided(choice: ModelChoice) -> int:
    """The width of a head."""
    if choice.d_model % choice.n_heads:
        raise ConfigError(f"d_model {choice.d_model} cannot be divided among {choice.n_heads} heads; give head_dim")
    return choice.d_model // choice.n_heads


def made(kind: type[Config], fields: dict[str, Any]) -> Config:
    """A configuration; a field that it has not is named."""
    known = set(kind.__dataclass_fields__)
    if unknown := [name for name in fields if name not in known]:
        raise ConfigError(
            f"model.changes: a {kind.__name__} has no field {unknown[0]!r}; it has {', '.join(sorted(known))}"
        )
    return kind(**fields)
