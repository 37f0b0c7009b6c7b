"""Every position scheme of a decoder as a function of a tensor of positions, without a look at their values.

R rows, S keys, C d_model, H heads, D head_dim.
"""

import numpy as np
import torch
from torch import Tensor

from clearhead.config import ModelConfig
from clearhead.model.cache import Pair
from clearhead.model.stack import AlibiBias, RelativeBias, cos_sin
from clearhead.model.transformer import Transformer
from clearhead.positions import relative_bucket, rotary_amplitude, rotary_frequencies, sinusoidal


class DevicePositions:
    """The scheme of one model; the tables it reads lie on the model's device."""

    def __init__(self, model: Transformer) -> None:
        self.config, like = model.config, model.embed.tokens.weight
        scheme = None if model.decoder is None else model.decoder.position_bias
        self.vectors = vectors(model)  # [max_positions, C]
        self.frequencies: Tensor | None = None  # [D / 2]
        self.slopes: Tensor | None = None  # [H, 1]
        self.relative: Tensor | None = None  # [distances, H]
        if self.config.position == "rotary":
            frequencies = rotary_frequencies(self.config.head_dim, self.config.rotary_base, self.config.rotary_scaling)
            self.frequencies = torch.from_numpy(frequencies).to(like.device)
        if isinstance(scheme, AlibiBias):
            wide = torch.promote_types(like.dtype, torch.float32)
            self.slopes = torch.from_numpy(scheme.slopes).to(like.device, wide)[:, None]
        if isinstance(scheme, RelativeBias):
            self.relative = scheme.weight.detach()[buckets(self.config).to(like.device)]

    def rotary(self, positions: Tensor, dtype: torch.dtype) -> Pair | None:
        """[R] -> cos and sin, each [R, 1, D], or nothing where the scheme is another."""
        if self.frequencies is None:
            return None
        return cos_sin(positions[:, None], self.frequencies, rotary_amplitude(self.config), dtype)

    def bias(self, positions: Tensor, span: int, dtype: torch.dtype) -> Tensor:
        """What is added to the scores of queries at `positions` [R] over the first `span` keys: [R, H or 1, S]."""
        distance = positions[:, None] - torch.arange(span, device=positions.device)  # [R, S]
        bias = torch.zeros_like(distance, dtype=dtype)[:, None]
        if self.slopes is not None:
            bias = (-self.slopes * distance[:, None]).to(dtype)
        if self.relative is not None:
            bias = self.relative[distance.clamp(0, len(self.relative) - 1)].mT.to(dtype)
        return bias.masked_fill(distance[:, None] < 0, float("-inf"))


def vectors(model: Transformer) -> Tensor | None:
    """[max_positions, C] to be added to the embedding of tokens, where positions are vectors."""
    config, tokens = model.config, model.embed.tokens.weight
    if config.position == "sinusoidal":
        return torch.from_numpy(sinusoidal(np.arange(config.max_positions), config.d_model)).to(tokens)
    return None if model.embed.positions is None else model.embed.positions.weight.detach()


def buckets(config: ModelConfig) -> Tensor:
    """The bucket of every distance that has one of its own; farther ones share the last."""
    distance = -np.arange(config.relative_max_distance + 1)
    return torch.from_numpy(
        relative_bucket(
            distance,
            bidirectional=False,
            buckets=config.relative_buckets,
            max_distance=config.relative_max_distance,
        )
    )
