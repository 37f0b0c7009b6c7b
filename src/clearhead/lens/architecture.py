"""What a model is made of, counted from its configuration alone: parts in the order data flows through them.

No weight is read and nothing is computed; `inspect` draws this, and anything else that shows an architecture can.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from clearhead.config import ModelConfig
from clearhead.families import of
from clearhead.families.layout import Layout, Shape, count, layout

SublayerKind = Literal["attention", "cross_attention", "mlp"]
BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}  # per number; int8's scales, below 2 % of it, are left out
CACHED_TOKENS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Weight:
    """One array of numbers, named within its part."""

    name: str
    shape: Shape

    @property
    def parameters(self) -> int:
        """How many numbers it holds."""
        return count({self.name: self.shape})


@dataclass(frozen=True, kw_only=True, slots=True)
class Sublayer:
    """Attention or MLP inside a layer, with the norm that reads its input (pre) or its sum (post)."""

    kind: SublayerKind
    weights: tuple[Weight, ...]
    norm: tuple[Weight, ...]  # empty where it reads the norm of the sublayer beside it


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """Equal layers on top of each other; `sublayers` are those of one layer, in order."""

    name: Literal["encoder", "decoder"]
    n_layers: int
    sublayers: tuple[Sublayer, ...]
    outside: tuple[Weight, ...]  # what the layers share: a position table, the norm after the last layer

    @property
    def layer_parameters(self) -> int:
        """Of one layer."""
        return sum(w.parameters for s in self.sublayers for w in (*s.norm, *s.weights))

    @property
    def parameters(self) -> int:
        """Of all layers and what they share."""
        return self.n_layers * self.layer_parameters + sum(w.parameters for w in self.outside)


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """One model from its tokens to its logits."""

    config: ModelConfig
    paper: str
    embedding: tuple[Weight, ...]
    stacks: tuple[Stack, ...]
    head: tuple[Weight, ...]  # pooler included

    @property
    def parts(self) -> dict[str, int]:
        """Parameters by part; they add up to `parameters`."""
        whole = {"embedding": sum(w.parameters for w in self.embedding)}
        whole |= {str(stack.name): stack.parameters for stack in self.stacks}
        return whole | {"head": sum(w.parameters for w in self.head)}

    @property
    def parameters(self) -> int:
        """Numbers the model learned."""
        return sum(self.parts.values())

    @property
    def weight_bytes(self) -> dict[str, int]:
        """Memory for all weights, by the type they are kept in."""
        return {dtype: self.parameters * size for dtype, size in BYTES.items()}

    def cache_bytes(self, dtype: str) -> int:
        """Memory for the keys and values of 1,000 decoder tokens; 0 without a decoder.

        A decoder beside an encoder keeps as much again for every 1,000 tokens the encoder read.
        """
        c = self.config
        return 2 * c.n_decoder_layers * c.n_kv_heads * c.head_dim * BYTES[dtype] * CACHED_TOKENS


def architecture(config: ModelConfig) -> Architecture:
    """The parts of the model that `config` describes.

    Raises:
        ConfigError: a family that is not registered.
    """
    shapes = layout(config)
    return Architecture(
        config=config,
        paper=of(config).paper,
        embedding=within(shapes, "embed."),
        stacks=tuple(stacks(config, shapes)),
        head=(*within(shapes, "pooler.", keep=True), *within(shapes, "head.")),
    )


def stacks(config: ModelConfig, shapes: Layout) -> Iterator[Stack]:
    """The encoder and the decoder, those that there are."""
    if config.n_encoder_layers:
        yield stack("encoder", config.n_encoder_layers, shapes)
    if config.n_decoder_layers:
        yield stack("decoder", config.n_decoder_layers, shapes)


def stack(name: Literal["encoder", "decoder"], n_layers: int, shapes: Layout) -> Stack:
    """One stack, its layers told by the first of them."""
    outside = tuple(w for w in within(shapes, f"{name}.") if not w.name.startswith("layers."))
    return Stack(
        name=name, n_layers=n_layers, sublayers=sublayers(within(shapes, f"{name}.layers.0.")), outside=outside
    )


def sublayers(weights: tuple[Weight, ...]) -> tuple[Sublayer, ...]:
    """The sublayers of one layer, in the order their weights stand in."""
    kinds: tuple[SublayerKind, ...] = ("attention", "cross_attention", "mlp")
    found = []
    for kind in kinds:
        own = tuple(w for w in weights if w.name.startswith(f"{kind}."))
        norm = tuple(w for w in weights if w.name.startswith(f"{kind}_norm."))
        if own:
            found.append(Sublayer(kind=kind, weights=own, norm=norm))
    return tuple(found)


def within(shapes: Layout, prefix: str, *, keep: bool = False) -> tuple[Weight, ...]:
    """The weights whose names begin so, named by what follows (or in full)."""
    return tuple(
        Weight(name=name if keep else name.removeprefix(prefix), shape=shape)
        for name, shape in shapes.items()
        if name.startswith(prefix)
    )
