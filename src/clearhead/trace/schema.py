"""Every place of a model that a trace can show, with the shape of what is seen there.

A path is a module's, then a kind of value: `decoder.layers.3.attention.weights`. For one sequence:

    {stack}.embed.tokens                        [T, C]     token vectors, scaled where the family scales them
    {stack}.embed.positions                     [T, C]     position vectors, where positions are vectors
    {stack}.embed.sum                           [T, C]     all that is added, where a norm follows (BERT, BLOOM)
    {stack}.embed.output                        [T, C]     what the first layer reads
    {stack}.bias                                [H, T, S]  what is added to the scores of every layer: ALiBi or relative
                                                           positions, and minus infinity where a key is hidden;
                                                           [1, T, S] where that is all
    {stack}.layers.{i}.input, .output           [T, C]     the residual stream before and after a layer
    {stack}.layers.{i}.attention.query          [H, T, D]  after rotary; before any rounding beside a 16-bit cache
    {stack}.layers.{i}.attention.key, .value    [K, S, D]  after rotary
    {stack}.layers.{i}.attention.weights        [H, T, S]  rows sum to 1
    {stack}.layers.{i}.attention.heads          [H, T, D]  each head's output, before the output projection
    {stack}.layers.{i}.attention.output         [T, C]     what attention adds to the residual stream
    {stack}.layers.{i}.mlp.hidden               [T, F]     after the activation (and the gate)
    {stack}.layers.{i}.mlp.output               [T, C]     what the MLP adds to the residual stream
    {stack}.output                              [T, C]     after the final norm, where there is one
    head.logits                                 [T, V]     of the last stack; labels instead of V where it labels

`{stack}` is `encoder` or `decoder`; `cross_attention` of a decoder has the kinds of `attention`, its S the encoder's
tokens. T queries, S keys (all tokens so far), H query heads, K key/value heads, D head_dim, C d_model, F d_ff, V
vocab_size. A trace of chosen heads has those alone along H, and all along K.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from clearhead.config import ModelConfig

StackName = Literal["encoder", "decoder"]
STACKS: tuple[StackName, ...] = ("encoder", "decoder")
ATTENTION = {"query": "HTD", "key": "KSD", "value": "KSD", "weights": "HTS", "heads": "HTD", "output": "TC"}
LOGITS = "head.logits"
KINDS = frozenset(
    {*ATTENTION, "input", "hidden", "logits", "bias", "tokens", "positions", "sum"}
)  # the last word of every path


@dataclass(frozen=True, slots=True)
class Place:
    """One place of a model, and the axes of its array."""

    path: str
    axes: str
    stack: StackName
    layer: int | None = None

    @property
    def across(self) -> bool:
        """Whether the keys are the encoder's, seen from the decoder."""
        return ".cross_attention." in self.path

    def shape(self, config: ModelConfig, *, heads: int, rows: int, keys: int, memory: int) -> tuple[int, ...]:
        """Its shape for `rows` queries, `keys` keys of its own stack and `memory` of the encoder's tokens."""
        sizes = {"T": rows, "S": memory if self.across else keys, "H": heads, "1": 1}
        sizes |= {"K": config.n_kv_heads, "D": config.head_dim, "C": config.d_model, "F": config.d_ff}
        if self.path == LOGITS:
            sizes |= {"V": len(config.labels) or config.vocab_size}
            sizes["T"] = 1 if config.head == "sequence_labels" else rows
        return tuple(sizes[axis] for axis in self.axes)


def places(config: ModelConfig, stack: StackName) -> Iterator[Place]:
    """Every place of one stack, in the order in which data flows through them."""
    n_layers = config.n_encoder_layers if stack == "encoder" else config.n_decoder_layers
    if not n_layers:
        return
    yield Place(f"{stack}.embed.tokens", "TC", stack)
    if config.position in ("learned", "sinusoidal"):
        yield Place(f"{stack}.embed.positions", "TC", stack)
    if config.embedding_norm:
        yield Place(f"{stack}.embed.sum", "TC", stack)
    yield Place(f"{stack}.embed.output", "TC", stack)
    yield Place(f"{stack}.bias", "HTS" if config.position in ("alibi", "relative") else "1TS", stack)
    for layer in range(n_layers):
        yield from of_layer(config, stack, layer)
    yield Place(f"{stack}.output", "TC", stack)
    if stack == last_stack(config) and config.head != "none":
        yield Place(LOGITS, "TV", stack)


def of_layer(config: ModelConfig, stack: StackName, layer: int) -> Iterator[Place]:
    """The places of one layer."""
    path = f"{stack}.layers.{layer}"
    modules = ["attention", *(["cross_attention"] if stack == "decoder" and config.n_encoder_layers else [])]
    yield Place(f"{path}.input", "TC", stack, layer)
    for module in modules:
        for kind, axes in ATTENTION.items():
            yield Place(f"{path}.{module}.{kind}", axes, stack, layer)
    yield Place(f"{path}.mlp.hidden", "TF", stack, layer)
    yield Place(f"{path}.mlp.output", "TC", stack, layer)
    yield Place(f"{path}.output", "TC", stack, layer)


def every_place(config: ModelConfig) -> list[Place]:
    """Every place of a model."""
    return [place for stack in stacks(config) for place in places(config, stack)]


def stacks(config: ModelConfig) -> tuple[StackName, ...]:
    """The stacks that this model has."""
    return tuple(s for s in STACKS if (config.n_encoder_layers if s == "encoder" else config.n_decoder_layers))


def last_stack(config: ModelConfig) -> StackName:
    """The stack whose output the head reads."""
    return stacks(config)[-1]
