"""What a trace wants, as arrays that the kernels write beside their own work.

For each kind of value one array [chosen layers, ...] is made; the trace gets its slices. H query heads, K key/value
heads, D head_dim, C d_model, F d_ff, T new tokens, S keys, M tokens of the encoder.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from clearhead.config import ModelConfig
from clearhead.native import _native
from clearhead.trace import Trace

Array = NDArray[np.float32]
Choice = tuple[int, ...] | None
ATTENTION = ("weights", "query", "key", "value", "heads", "output")
WHOLE = ("embed.tokens", "embed.output", "last")  # of the model, not of a layer


@dataclass(frozen=True, slots=True)
class Plan:
    """What one choice of a trace means for one stack: which layers and heads, and the paths of each wanted kind with
    their places among the layers."""

    layers: list[int]
    heads: list[int]
    paths: dict[str, dict[str, int]]


class Capture:
    """The places of one call that a trace wants."""

    def __init__(self, trace: Trace, config: ModelConfig, stack: str, *, new: int, keys: int, memory: int) -> None:
        kinds = None if trace.kinds is None else tuple(trace.kinds)
        self.trace = trace
        self.plan = plan(config, stack, choice(trace.layers), choice(trace.heads), kinds)
        make = np.empty if new == 1 else np.zeros  # of several tokens, what is hidden from one is not written
        self.arrays = {
            kind: make(shape(kind, config, self.plan, new, memory if kind.startswith("cross") else keys), np.float32)
            for kind in self.plan.paths
        }
        self.native = _native.Capture(self.plan.layers, self.plan.heads, self.arrays)

    def record(self) -> None:
        """Give the trace what the call wrote."""
        for kind, array in self.arrays.items():
            slices = [array] if kind in WHOLE else list(array)
            self.trace.arrays.update((path, slices[i]) for path, i in self.plan.paths[kind].items())


def choice(chosen: object) -> Choice:
    """Layers or heads as a key."""
    return None if chosen is None else tuple(sorted(set(chosen)))  # type: ignore[call-overload]


@lru_cache(maxsize=16)
def plan(config: ModelConfig, stack: str, layers: Choice, heads: Choice, kinds: tuple[str, ...] | None) -> Plan:
    """The plan of a choice; decoding asks for the same one at every step."""
    n_layers = config.n_encoder_layers if stack == "encoder" else config.n_decoder_layers
    trace = Trace(layers=layers, heads=heads, kinds=kinds)
    chosen = [i for i in range(n_layers) if layers is None or i in layers]
    modules = ["attention", *(["cross_attention"] if stack == "decoder" and config.n_encoder_layers else [])]
    each = ["input", "output", "mlp.hidden", "mlp.output", *(f"{m}.{kind}" for m in modules for kind in ATTENTION)]
    places = {kind: {(f"{stack}.output" if kind == "last" else kind): 0} for kind in WHOLE}
    places |= {kind: {f"{stack}.layers.{layer}.{kind}": i for i, layer in enumerate(chosen)} for kind in each}
    wanted = {kind: {path: i for path, i in paths.items() if trace.wants(path)} for kind, paths in places.items()}
    return Plan(
        chosen,
        list(range(config.n_heads)) if heads is None else list(heads),
        {kind: paths for kind, paths in wanted.items() if paths},
    )


def shape(kind: str, c: ModelConfig, plan: Plan, T: int, S: int) -> tuple[int, ...]:
    """The shape of a kind's array, for T new tokens of a row of S keys."""
    L, H = len(plan.layers), len(plan.heads)
    if kind in WHOLE:
        return (T, c.d_model)
    match kind.rpartition(".")[2]:
        case "weights":
            return (L, H, T, S)
        case "query" | "heads":
            return (L, H, T, c.head_dim)
        case "key" | "value":
            return (L, c.n_kv_heads, S, c.head_dim)
        case "hidden":
            return (L, T, c.d_ff)
        case _:
            return (L, T, c.d_model)
