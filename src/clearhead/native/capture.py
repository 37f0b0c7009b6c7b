"""What a trace wants, as arrays that the kernels write beside their own work.

For each kind of value one array [chosen layers, ...] is made; the trace gets its slices. H query heads, K key/value
heads, D head_dim, C d_model, F d_ff, T new tokens, S keys, M tokens of the encoder.
"""

import numpy as np
from numpy.typing import NDArray

from clearhead.config import ModelConfig
from clearhead.native import _native
from clearhead.trace import Trace

Array = NDArray[np.float32]
ATTENTION = ("weights", "query", "key", "value", "heads", "output")


class Capture:
    """The places of one call that a trace wants."""

    def __init__(self, trace: Trace, config: ModelConfig, stack: str, *, new: int, keys: int, memory: int) -> None:
        self.trace, self.stack = trace, stack
        n_layers = config.n_encoder_layers if stack == "encoder" else config.n_decoder_layers
        self.layers = [i for i in range(n_layers) if trace.layers is None or i in trace.layers]
        self.heads = list(range(config.n_heads)) if trace.heads is None else sorted(set(trace.heads))
        shapes = self.shapes(config, new, keys, memory)
        self.paths = {kind: self.wanted(kind) for kind in shapes}
        self.arrays: dict[str, Array] = {
            kind: np.zeros(shape, dtype=np.float32) for kind, shape in shapes.items() if self.paths[kind]
        }
        self.native = _native.Capture(self.layers, self.heads, self.arrays)

    def shapes(self, c: ModelConfig, T: int, S: int, M: int) -> dict[str, tuple[int, ...]]:
        """The shape of every kind this stack has."""
        L, H, K, D = len(self.layers), len(self.heads), c.n_kv_heads, c.head_dim
        shapes: dict[str, tuple[int, ...]] = {
            "embed.tokens": (T, c.d_model),
            "embed.output": (T, c.d_model),
            "last": (T, c.d_model),
        }
        shapes |= {kind: (L, T, c.d_model) for kind in ("input", "output", "mlp.output")}
        shapes["mlp.hidden"] = (L, T, c.d_ff)
        modules = {"attention": S}
        if self.stack == "decoder" and c.n_encoder_layers:
            modules["cross_attention"] = M
        for module, keys in modules.items():
            each = [(H, T, keys), (H, T, D), (K, keys, D), (K, keys, D), (H, T, D), (T, c.d_model)]
            shapes |= {f"{module}.{kind}": (L, *shape) for kind, shape in zip(ATTENTION, each, strict=True)}
        return shapes

    def wanted(self, kind: str) -> dict[str, int | None]:
        """The trace's paths for a kind, each with its index among the chosen layers."""
        paths: dict[str, int | None]
        if kind == "last":
            paths = {f"{self.stack}.output": None}
        elif kind.startswith("embed."):
            paths = {kind: None}
        else:
            paths = {f"{self.stack}.layers.{layer}.{kind}": index for index, layer in enumerate(self.layers)}
        return {path: index for path, index in paths.items() if self.trace.wants(path)}

    def record(self) -> None:
        """Give the trace what the call wrote."""
        for kind, array in self.arrays.items():
            for path, index in self.paths[kind].items():
                self.trace.arrays[path] = array if index is None else array[index]
