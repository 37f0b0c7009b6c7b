"""How CTranslate2 names and fuses the tensors of an encoder-decoder, and which of its switches Clearhead computes.

Source: CTranslate2, `python/ctranslate2/specs/transformer_spec.py`, revision 7, and `src/layers/transformer.cc`. The
models it converts from Marian and OpenNMT-py are read: one embedding for both sides, positions stored as a table.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clearhead.config import Activation, ModelConfig
from clearhead.errors import ConfigError
from clearhead.families.family import Format, Tensors
from clearhead.families.fields import Fields
from clearhead.families.keys import Array, KeyTable, Row, Stacked, qkv
from clearhead.families.layout import Shape
from clearhead.positions import sinusoidal

STACKS = ("encoder", "decoder")
EMBEDDING, POSITIONS = "decoder/embeddings/weight", "decoder/position_encodings/encodings"
NEVER = -1e4  # a bias that leaves a token no probability in any float format

ACTIVATIONS: dict[int, Activation] = {0: "relu", 1: "gelu_tanh", 2: "silu", 3: "gelu"}
PER_STACK = ("num_heads", "pre_norm", "activation", "scale_embeddings", "embeddings/multiply_by_sqrt_depth")
READ = {f"{stack}/{name}" for stack in STACKS for name in PER_STACK} | {"decoder/start_from_zero_embedding"}
OFF = {"decoder/alibi", "decoder/scale_alibi", "encoder/multi_query_attention", "multi_query_attention"}
# These steer nothing computed here: which attention is reported, and details of what is off.
IDLE = {
    "decoder/alignment_heads",
    "decoder/alignment_layer",
    "decoder/alibi_use_positive_positions",
    "encoder/embeddings_merge",
}


@dataclass(frozen=True, slots=True)
class ZeroStart:
    """Rows of a vocabulary without the zero vector that Marian's decoder starts from: it is our last row, of `fill`."""

    by_rows: ClassVar[bool] = True

    fill: float = 0.0

    def split(self, array: Array, shapes: Sequence[Shape], config: ModelConfig) -> list[Array]:
        if len(array) != shapes[0][0] - 1:
            return [array]
        return [np.concatenate([array, np.full_like(array, self.fill, shape=(1, *array.shape[1:]))])]

    def join(self, arrays: Sequence[Array], config: ModelConfig) -> Array:
        return arrays[0][:-1]


def from_ctranslate2(fields: Fields, tensors: Tensors) -> ModelConfig:
    """Read the switches of a TransformerSpec; `fields` also has config.json's, and `aliases` of tensors."""
    refuse(fields, tensors)
    n_heads, pre_norm = both(fields, "num_heads"), both(fields, "pre_norm", 1)
    vocab_size, d_model = tensors[EMBEDDING].shape
    table = tensors[POSITIONS]
    return ModelConfig(
        family="transformer",
        vocab_size=vocab_size + starts_from_zero(fields),
        d_model=d_model,
        d_ff=tensors["decoder/layer_0/ffn/linear_0/weight"].shape[0],
        n_heads=n_heads,
        n_kv_heads=n_heads,
        head_dim=fields.share("the embedding's width", d_model, "num_heads", n_heads),
        n_encoder_layers=n_layers(tensors, "encoder"),
        n_decoder_layers=n_layers(tensors, "decoder"),
        max_positions=table.shape[0],
        norm_placement="pre" if pre_norm else "post",
        norm_eps=fields.number("layer_norm_epsilon", default=1e-5),
        position="sinusoidal" if is_sinusoidal(table.read()) else "learned",
        attention_bias="all" if "decoder/layer_0/self_attention/linear_0/bias" in tensors else "none",
        activation=activation(fields),
        mlp_bias="decoder/layer_0/ffn/linear_0/bias" in tensors,
        embedding_scale=embedding_scale(fields, d_model),
        head_bias="decoder/projection/bias" in tensors,
        tied=same(fields, "decoder/projection/weight", EMBEDDING),
    )


def refuse(fields: Fields, tensors: Tensors) -> None:
    """Refuse what would be computed otherwise there than here."""
    for key, value in fields.values.items():
        if "/" in key and key not in READ | IDLE | OFF:
            raise ConfigError(f"{fields.where}: {key} is {value!r}, a switch that Clearhead does not know")
    for key in sorted(OFF):
        fields.expect(key, 0)
    for name in (EMBEDDING, POSITIONS, "decoder/layer_0/ffn/linear_0/weight"):
        if name not in tensors:
            raise ConfigError(f"{fields.where}: there is no {name}; positions and embeddings must be stored as tables")
    source = next(
        (name for name in ("encoder/embeddings_0/weight", "encoder/embeddings/weight") if name in tensors), ""
    )
    if not same(fields, source, EMBEDDING):
        raise ConfigError(f"{fields.where}: encoder and decoder have different embeddings; Clearhead reads shared ones")
    if "encoder/embeddings_1/weight" in tensors:
        raise ConfigError(f"{fields.where}: the encoder takes several features a token; Clearhead reads one")
    if not same(fields, "encoder/position_encodings/encodings", POSITIONS):
        raise ConfigError(f"{fields.where}: encoder and decoder have different positions; Clearhead reads shared ones")
    if any(len(tensors[name].shape) != 2 for name in (EMBEDDING, POSITIONS)):
        raise ConfigError(f"{fields.where}: embeddings and positions must be tables of rows and columns")


def same(fields: Fields, first: str, second: str) -> bool:
    """Whether two names stand for one stored tensor."""
    aliases: Mapping[str, str] = fields.values["aliases"]
    return aliases.get(first, first) == aliases.get(second, second)


def both(fields: Fields, name: str, default: int | None = None) -> int:
    """A switch that both stacks must set alike."""
    usual = {} if default is None else {"default": default}
    values = [fields.integer(f"{stack}/{name}", name, **usual) for stack in STACKS]
    if values[0] != values[1]:
        raise ConfigError(f"{fields.where}: {name} is {values[0]} in the encoder and {values[1]} in the decoder")
    return int(values[0])


def activation(fields: Fields) -> Activation:
    """The MLP's function."""
    code = both(fields, "activation", 0)
    if code not in ACTIVATIONS:
        raise ConfigError(f"{fields.where}: activation {code} is not computed; Clearhead reads {list(ACTIVATIONS)}")
    return ACTIVATIONS[code]


def embedding_scale(fields: Fields, d_model: int) -> float:
    """What embeddings are multiplied by: a number, or a yes (the default) or no to sqrt(d_model)."""
    scales = set()
    for stack in STACKS:
        older = fields.values.get(f"{stack}/embeddings/multiply_by_sqrt_depth", 1)
        value = fields.values.get(f"{stack}/scale_embeddings", older)
        scales.add(value if isinstance(value, float) else d_model**0.5 if value else 1.0)
    if len(scales) > 1:
        raise ConfigError(f"{fields.where}: encoder and decoder scale embeddings differently, by {sorted(scales)}")
    return float(scales.pop())


def starts_from_zero(fields: Fields) -> int:
    """1 when the decoder starts from a zero vector instead of a token's."""
    return int(bool(fields.integer("decoder/start_from_zero_embedding", default=0)))


def n_layers(tensors: Tensors, stack: str) -> int:
    """How many layers follow one another without a gap."""
    n = 0
    while f"{stack}/layer_{n}/ffn/linear_0/weight" in tensors:
        n += 1
    return n


def is_sinusoidal(table: Array) -> bool:
    """Whether stored positions [T, C] are the ones computed here, up to the rounding of their type."""
    limit = 1e-3 if table.dtype == np.float32 else 8e-3
    return bool(np.allclose(table.astype(np.float32), sinusoidal(np.arange(len(table)), table.shape[1]), atol=limit))


def keys(config: ModelConfig) -> KeyTable:
    """Names of whole tensors, since norms call theirs gamma and beta."""
    table: dict[str, str | Row] = {
        EMBEDDING: Row(("embed.tokens.weight",), ZeroStart()),
        POSITIONS: "embed.positions.weight",
        "decoder/projection/weight": Row(("head.projection.weight",), ZeroStart()),
        "decoder/projection/bias": Row(("head.projection.bias",), ZeroStart(NEVER)),
    }
    for stack in STACKS:
        table.update(norm(f"{stack}/layer_norm", f"{stack}.norm"))
        table.update(block(f"{stack}/layer_{{}}", f"{stack}.layers.{{}}"))
    return table


def block(theirs: str, ours: str) -> Iterator[tuple[str, str | Row]]:
    """The rows of one layer; cross-attention fuses key and value alone."""
    query, key, value = qkv(f"{ours}.cross_attention")
    yield from linear(f"{theirs}/self_attention/linear_0", *qkv(f"{ours}.attention"))
    yield from linear(f"{theirs}/self_attention/linear_1", f"{ours}.attention.output")
    yield from norm(f"{theirs}/self_attention/layer_norm", f"{ours}.attention_norm")
    yield from linear(f"{theirs}/attention/linear_0", query)
    yield from linear(f"{theirs}/attention/linear_1", key, value)
    yield from linear(f"{theirs}/attention/linear_2", f"{ours}.cross_attention.output")
    yield from norm(f"{theirs}/attention/layer_norm", f"{ours}.cross_attention_norm")
    yield from linear(f"{theirs}/ffn/linear_0", f"{ours}.mlp.up")
    yield from linear(f"{theirs}/ffn/linear_1", f"{ours}.mlp.down")
    yield from norm(f"{theirs}/ffn/layer_norm", f"{ours}.mlp_norm")


def linear(theirs: str, *ours: str) -> Iterator[tuple[str, Row]]:
    """One matrix and its bias, of one or several projections."""
    for leaf in ("weight", "bias"):
        yield f"{theirs}/{leaf}", Row(tuple(f"{path}.{leaf}" for path in ours), Stacked())


def norm(theirs: str, ours: str) -> Iterator[tuple[str, str]]:
    """One norm's gain and offset."""
    yield f"{theirs}/gamma", f"{ours}.weight"
    yield f"{theirs}/beta", f"{ours}.bias"


CTRANSLATE2 = Format(
    types=("TransformerSpec",),
    config=from_ctranslate2,
    keys=keys,
    # Second names of tensors that have a row above; `refuse` has made sure of it.
    ignored=(r"encoder/embeddings(_0)?/weight", r"decoder/projection/weight", r"\w+/position_encodings/encodings"),
)
