"""The named weights of a recurrent model and their shapes, from its configuration alone.

Names are those of the modules in `model.py`; inside a layer they are torch's. Gates lie above each other in one matrix.

E d_embedding, H d_hidden, G gates, N decoder layers, V vocab_size.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from clearhead.families.layout import Layout, Shape, count
from clearhead.recurrent.config import RecurrentConfig

VOCABULARY = ("embed.weight", "head.weight", "head.bias")  # tables of one row for each token


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameters:
    """How many numbers a model holds."""

    embeddings: int  # with a row for each token: the embedding, and an untied head
    rest: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.embeddings + self.rest


def layout(config: RecurrentConfig) -> Layout:
    """Name and shape of every weight `config` calls for, in the order data flows through them."""
    return dict(weights(config))


def count_parameters(config: RecurrentConfig) -> Parameters:
    """How many numbers a model of `config` holds, those of embeddings apart, which grow with the vocabulary alone."""
    shapes = layout(config)
    embeddings = count({name: shape for name, shape in shapes.items() if name in VOCABULARY})
    return Parameters(embeddings=embeddings, rest=count(shapes) - embeddings)


def weights(c: RecurrentConfig) -> Iterator[tuple[str, Shape]]:
    """Name and shape of every weight."""
    E, H, V = c.d_embedding, c.d_hidden, c.vocab_size
    yield "embed.weight", (V, E)
    for i in range(c.n_encoder_layers):
        for direction in ("", "_reverse"):
            yield from layer(c, f"encoder.layers.{i}", H if i else E, H // 2, direction)
    if c.n_encoder_layers:
        yield "decoder.bridge.weight", (c.n_decoder_layers * H, H)
        yield "decoder.bridge.bias", (c.n_decoder_layers * H,)
    for i in range(c.n_decoder_layers):
        yield from layer(c, f"decoder.layers.{i}", H if i else E + H * c.input_feeding, H, "")
    if c.n_encoder_layers:
        yield from attention(c)
    if c.projects:
        yield "head.projection.weight", (E, H)
    if not c.tied:
        yield "head.weight", (V, H)
    if c.head_bias:
        yield "head.bias", (V,)


def layer(c: RecurrentConfig, path: str, width: int, hidden: int, direction: str) -> Iterator[tuple[str, Shape]]:
    """One direction of a layer that reads vectors of `width`; torch keeps a bias for each of the two products."""
    rows = c.gates * hidden
    yield f"{path}.weight_ih_l0{direction}", (rows, width)
    yield f"{path}.weight_hh_l0{direction}", (rows, hidden)
    yield f"{path}.bias_ih_l0{direction}", (rows,)
    yield f"{path}.bias_hh_l0{direction}", (rows,)


def attention(c: RecurrentConfig) -> Iterator[tuple[str, Shape]]:
    """Scores, and the layer that joins what was found with the state that looked for it."""
    H = c.d_hidden
    yield "decoder.attention.key.weight", (H, H)
    if c.attention == "additive":
        yield "decoder.attention.query.weight", (H, H)
        yield "decoder.attention.query.bias", (H,)
        yield "decoder.attention.score.weight", (1, H)
    yield "decoder.attention.output.weight", (H, 2 * H)
