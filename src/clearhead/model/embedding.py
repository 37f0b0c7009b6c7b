"""Token ids to vectors, with positions added where the family adds them.

B batch, T tokens, C d_model.
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from clearhead.config import ModelConfig
from clearhead.model.context import ForwardContext
from clearhead.model.layers import build_norm
from clearhead.model.precision import working
from clearhead.positions import sinusoidal


class Embedding(nn.Module):
    """Vaswani et al. 2017, sections 3.4 and 3.5; Devlin et al. 2018, figure 2, for token types."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocab_size, config.d_model)
        self.positions = nn.Embedding(config.max_positions, config.d_model) if config.position == "learned" else None
        self.token_types = nn.Embedding(config.n_token_types, config.d_model) if config.n_token_types else None
        self.norm = build_norm(config) if config.embedding_norm else nn.Identity()

    def forward(self, ids: Tensor, positions: Tensor, types: Tensor | None, context: ForwardContext) -> Tensor:
        """ids [B, T] at `positions` [B or 1, T], of token types [B, T] -> [B, T, C]."""
        return self.from_vectors(self.tokens(ids), positions, types, context)

    def from_vectors(self, x: Tensor, positions: Tensor, types: Tensor | None, context: ForwardContext) -> Tensor:
        """The same from the tokens' own vectors [B, T, C]: where gradients begin."""
        x = x * self.config.embedding_scale
        context.record(f"{context.stack}.embed.tokens", x)
        x = self.place(x, positions, context)
        if self.token_types is not None:
            x = x + (self.token_types.weight[0] if types is None else self.token_types(types))
        context.record(f"{context.stack}.embed.sum", x)
        x = context.drop(self.norm(working(x)), "embedding")
        return context.show(f"{context.stack}.embed.output", x)

    def place(self, x: Tensor, positions: Tensor, context: ForwardContext) -> Tensor:
        """[B, T, C] with each token's position added, where positions are vectors."""
        if self.positions is not None:
            # Padding may run past the table; what is looked up for it is never read.
            added = self.positions(positions.clamp(max=self.config.max_positions - 1))
        elif self.config.position == "sinusoidal":
            furthest = x.shape[1] + (0 if context.slots is None else max(context.slots.starts))
            added = sinusoids(1 << furthest.bit_length(), x.shape[-1], x.device, x.dtype)[positions]
        else:
            return x
        context.record(f"{context.stack}.embed.positions", added)
        return x + added


@cache
@torch.inference_mode(False)
def sinusoids(count: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The vectors of the first positions [count, C], sent to a device once."""
    return torch.from_numpy(sinusoidal(np.arange(count), width)).to(device, dtype)
