"""What the encoder made of its sources: a state for each token, the keys that attention scores, and how decoders begin.

B rows, S source tokens, H d_hidden, P vectors of a decoder's state.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clearhead.executor import Floats
from clearhead.model.memory import cut


@dataclass(frozen=True, slots=True)
class RecurrentMemory:
    """Rows padded on the right; `lengths[i]` tokens of row i count."""

    padded: Tensor  # [B, S, H]
    lengths: list[int]
    keys: Tensor  # [B, S, H]
    start: Tensor  # [B, P, H]
    bias: Tensor | None  # [B, 1, S], added to the scores: minus infinity at padding; None where there is none

    @property
    def states(self) -> list[Floats]:
        """[S_i, H] for each row."""
        return cut(self.padded, self.lengths)

    def select(self, rows: Sequence[int]) -> "RecurrentMemory":
        """The memory of these rows, in this order."""
        index = torch.tensor(rows, dtype=torch.long, device=self.padded.device)
        lengths = [self.lengths[row] for row in rows]
        bias = None if self.bias is None else self.bias[index]
        return RecurrentMemory(self.padded[index], lengths, self.keys[index], self.start[index], bias)


def padding_bias(padded: Tensor, lengths: list[int]) -> Tensor | None:
    """[B, 1, S] for rows [B, S, H] of which lengths[i] tokens count."""
    S = padded.shape[1]
    if min(lengths) == S:
        return None
    hidden = torch.arange(S, device=padded.device) >= torch.tensor(lengths, device=padded.device)[:, None]  # [B, S]
    return torch.zeros_like(hidden, dtype=padded.dtype).masked_fill(hidden, float("-inf"))[:, None]
