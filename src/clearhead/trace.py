"""The Trace: what a forward pass showed of itself, one array per place, keyed by module path.

A path is the module's, then the kind of value: `decoder.layers.3.attention.weights`. Kinds and shapes, for one
sequence of T tokens (S keys: all tokens so far, or the encoder's):

    embed.tokens, embed.output                           [T, C]
    {stack}.layers.{i}.input, .output                    [T, C]
    {stack}.layers.{i}.attention.query                   [H, T, D]     after rotary
    {stack}.layers.{i}.attention.key, .value             [K, S, D]     after rotary
    {stack}.layers.{i}.attention.weights                 [H, T, S]     rows sum to 1
    {stack}.layers.{i}.attention.heads                   [H, T, D]     each head's output, before the output projection
    {stack}.layers.{i}.attention.output, .mlp.output     [T, C]        what the sublayer adds to the residual stream
    {stack}.layers.{i}.mlp.hidden                        [T, F]
    {stack}.output                                       [T, C]        after the final norm, where there is one
    head.logits                                          [T, V]

`cross_attention` has the kinds of `attention`.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from clearhead.config import ModelConfig
from clearhead.errors import OptionError

Array = NDArray[np.float32]

PER_HEAD = frozenset({"weights", "query", "heads"})
VALUES = PER_HEAD | {"tokens", "input", "output", "key", "value", "hidden", "logits"}  # what a path may end with
LAYER = re.compile(r"(?:encoder|decoder)\.layers\.(\d+)\.(.+)")


@dataclass(slots=True, repr=False)
class Trace:
    """Arrays by path, filled by an executor while a forward pass runs.

    `layers`, `heads` and `kinds` choose what is kept; None keeps everything. A kind is the end of a path:
    `weights`, `attention.output`, `logits`.
    """

    layers: Collection[int] | None = None
    heads: Collection[int] | None = None
    kinds: Collection[str] | None = None
    arrays: dict[str, Array] = field(default_factory=dict)
    tokens: list[int] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    memory_tokens: list[int] = field(default_factory=list)  # the encoder's, where there is one beside a decoder
    memory_pieces: list[str] = field(default_factory=list)

    def check(self, config: ModelConfig) -> None:
        """Refuse a choice of which this model has nothing to show; every executor asks before it runs.

        Raises:
            OptionError: a layer or head that the model lacks, or a kind that no path ends with.
        """
        deepest = max(config.n_encoder_layers, config.n_decoder_layers)
        for name, chosen, n in (("layers", self.layers, deepest), ("heads", self.heads, config.n_heads)):
            if outside := [i for i in chosen or () if not 0 <= i < n]:
                raise OptionError(f"{name} names {outside[0]}; this model has {name} 0 to {n - 1}")
        if isinstance(self.kinds, str):
            raise OptionError(f"kinds is {self.kinds!r}; it must be a list, even of one")
        if unknown := [kind for kind in self.kinds or () if kind.rsplit(".", 1)[-1] not in VALUES]:
            raise OptionError(f"kinds names {unknown[0]!r}; a kind ends with one of {', '.join(sorted(VALUES))}")

    def __repr__(self) -> str:
        """One line: how much was seen of what."""
        return f"<trace of {len(self.tokens)} tokens: {len(self.arrays)} arrays>"

    def wants(self, path: str) -> bool:
        """Whether an executor should record this path."""
        if self.kinds is not None and not any(path == kind or path.endswith("." + kind) for kind in self.kinds):
            return False
        layer = LAYER.fullmatch(path)
        return layer is None or self.layers is None or int(layer[1]) in self.layers

    def record(self, path: str, array: Array) -> None:
        """Keep the array of a wanted path, of the chosen heads where its first axis is the query heads."""
        per_head = path.rsplit(".", 1)[-1] in PER_HEAD
        self.arrays[path] = array if self.heads is None or not per_head else array[sorted(self.heads)]

    def attention(self, module: str) -> Array:
        """Attention weights [H, T, S] of one module, such as `decoder.layers.3.attention`."""
        return self[f"{module}.weights"]

    def __getitem__(self, path: str) -> Array:
        if path not in self.arrays:
            kind = path.rsplit(".", 1)[-1]
            near = [p for p in self.arrays if p.rsplit(".", 1)[-1] == kind]
            raise OptionError(
                f"the trace holds no {path!r}; it holds {', '.join((near or list(self.arrays))[:4]) or 'nothing'}"
            )
        return self.arrays[path]
