"""What one forward pass carries through every block, in place of a long argument list.

B batch, T query tokens, S keys, H heads, K key/value heads, D head_dim, C d_model. A leading 1 stands for "the same in
every row".
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from clearhead.model.cache import KVCache, Slots
from clearhead.model.memory import TorchMemory
from clearhead.trace import Trace

Pair = tuple[Tensor, Tensor]


@dataclass(slots=True)
class ForwardContext:
    """State of one call: nothing of it outlives the call, and no module keeps any."""

    bias: Tensor | None = None  # [B or 1, H or 1, T, S], added to the scores: masks, ALiBi, relative positions
    causal: bool = False  # a plain causal mask, which needs no tensor; only where `bias` is None
    rotary: Pair | None = None  # cos and sin, each [B or 1, 1, T, D]
    memory: TorchMemory | None = None  # the encoder's output
    memory_bias: Tensor | None = None  # [B, 1, 1, S]: hides the padding of the memory
    cache: KVCache | None = None
    slots: Slots | None = None  # where this call's keys go in the cache
    trace: Trace | None = None

    def wants(self, path: str) -> bool:
        """Whether anyone looks at this place."""
        return self.trace is not None and self.trace.wants(path)

    def record(self, path: str, value: Tensor) -> None:
        """Show the value at this place: [1, ...] -> [...], in float32 (float64 where the model computes in it)."""
        if self.trace is not None and self.trace.wants(path):
            kept = value[0].detach().cpu()
            self.trace.record(path, kept.numpy() if kept.dtype == torch.float64 else kept.float().numpy())
