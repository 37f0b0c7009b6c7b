"""What one forward pass carries through every block, in place of a long argument list.

B batch, T query tokens, S keys, H heads, K key/value heads, D head_dim, C d_model. A leading 1 stands for "the same in
every row".
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from clearhead.edits import Edits
from clearhead.model.cache import KVCache, Slots
from clearhead.model.dropout import Dropout, Place
from clearhead.model.fused import sublayer as fused
from clearhead.model.memory import TorchMemory
from clearhead.trace import Trace
from clearhead.trace.schema import StackName

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
    stack: StackName = "decoder"
    trace: Trace | None = None
    edits: Edits | None = None
    first: int = 0  # position of the first query, where there is one row to look at
    dropout: Dropout | None = None  # in training

    def drop(self, x: Tensor, place: Place) -> Tensor:
        """x, in training with some of it left out."""
        return x if self.dropout is None else self.dropout(x, place)

    def rate(self, place: Place) -> float:
        """The share that is left out at this place."""
        return 0.0 if self.dropout is None else self.dropout.rate(place)

    def join(self, x: Tensor, y: Tensor, norm: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """x + y, in training with some of y left out, or the norm of that."""
        if self.dropout is not None and fused.can_join(x, y, norm):
            return fused.join(x, y, self.rate("residual"), norm)
        total = x + self.drop(y, "residual")
        return total if norm is None else norm(total)

    def branch(self, x: Tensor, norm: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """x as it is, and the norm of it."""
        return fused.branch(x, norm) if self.dropout is not None and fused.can_norm(norm, x) else (x, norm(x))

    def learns_on_cpu(self, x: Tensor) -> bool:
        """Where torch's own fused attention is the slowest way to gradients."""
        return self.dropout is not None and x.device.type == "cpu"

    def wants(self, path: str) -> bool:
        """Whether anyone looks at this place, or changes it."""
        looked_at = self.trace is not None and self.trace.wants(path)
        return looked_at or (self.edits is not None and path in self.edits)

    def show(self, path: str, value: Tensor) -> Tensor:
        """The value at this place [1, ...], after edits; a trace keeps it."""
        value = self.change(path, value)
        self.record(path, value)
        return value

    def change(self, path: str, value: Tensor) -> Tensor:
        """The value at this place after edits. By itself where a trace keeps more than what is changed: keys, with
        those of earlier calls."""
        return value if self.edits is None or path not in self.edits else edited(self.edits, path, value, self.first)

    def record(self, path: str, value: Tensor) -> None:
        """Keep the value at this place: [1, ...] -> [...], in float32 (float64 where the model computes in it)."""
        if self.trace is not None and self.trace.wants(path):
            kept = value[0].detach().cpu()
            self.trace.write(path, kept.numpy() if kept.dtype == torch.float64 else kept.float().numpy())


def edited(edits: Edits, path: str, value: Tensor, first: int) -> Tensor:
    """[1, ...] after edits, which get a copy in float32 (float64 where the model computes in it)."""
    wide = value.dtype if value.dtype == torch.float64 else torch.float32
    numbers = value[0].detach().to("cpu", wide, copy=True).numpy()
    edits.apply(path, numbers, first)
    return torch.from_numpy(numbers).to(value)[None]
