"""The encoder's output, and what each layer of the decoder makes of it once.

B rows, S source tokens, C d_model, K key/value heads, D head_dim.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from clearhead.executor import Floats

Pair = tuple[Tensor, Tensor]
Lengths = list[int] | Tensor  # of each row the tokens that count; a tensor [B] where only the device is to know


@dataclass(frozen=True, slots=True)
class TorchMemory:
    """Rows padded on the right; `lengths[i]` tokens of row i count.

    Where only the device knows how many, `padding` says so, and `lengths` are those of the tensor.
    """

    padded: Tensor  # [B, S, C]
    lengths: list[int]
    projected: dict[str, Pair] = field(default_factory=dict)  # keys and values [B, K, S, D] by module path
    padding: Tensor | None = None  # [B, S]: what does not count, where only the device knows

    @property
    def states(self) -> list[Floats]:
        """[S_i, C] for each row."""
        return cut(self.padded, self.lengths)

    def keys_values(self, path: str, project: Callable[[Tensor], Pair]) -> Pair:
        """Cross-attention reads the same memory at every step, so its keys and values are made only once."""
        if path not in self.projected:
            self.projected[path] = project(self.padded)
        return self.projected[path]

    def bias(self) -> Tensor | None:
        """[B, 1, 1, S]: minus infinity at padding, to be added to the scores; None where there is no padding."""
        if (hidden := self.padding) is None:
            if min(self.lengths) == self.padded.shape[1]:
                return None
            hidden = beyond(self.lengths, self.padded)
        return torch.zeros_like(hidden, dtype=self.padded.dtype).masked_fill(hidden, float("-inf"))[:, None, None]

    def select(self, rows: Sequence[int]) -> "TorchMemory":
        """The memory of these rows, in this order."""
        index = torch.tensor(rows, dtype=torch.long, device=self.padded.device)
        projected = {path: (keys[index], values[index]) for path, (keys, values) in self.projected.items()}
        padding = None if self.padding is None else self.padding[index]
        return TorchMemory(self.padded[index], [self.lengths[row] for row in rows], projected, padding)


def beyond(lengths: Lengths, rows: Tensor) -> Tensor:
    """Which places of rows [B, S, ...] are padding [B, S]."""
    counts = torch.as_tensor(lengths, device=rows.device)
    return torch.arange(rows.shape[1], device=rows.device) >= counts[:, None]


def cut(padded: Tensor, lengths: Sequence[int]) -> list[Floats]:
    """[B, T, ...] -> the first lengths[i] of each row."""
    array = to_numpy(padded)
    return [array[i, :n] for i, n in enumerate(lengths)]


def to_numpy(x: Tensor) -> Floats:
    """Out of torch; float32 unless the model computes in float64."""
    array: Floats = (x if x.dtype == torch.float64 else x.float()).cpu().numpy()
    return array
