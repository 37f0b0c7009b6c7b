"""A stack of blocks: an encoder, in which every token sees every other, or a decoder, in which none sees ahead.

Masks, ALiBi and T5's relative positions are one additive score bias, built once per stack and call; a plain causal pass
needs none. Rotary positions are a pair of tables.

B batch (1 where all rows agree), T queries, S keys, H heads, D head_dim, C d_model.
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from clearhead.config import ModelConfig, RotaryScaling
from clearhead.model.block import build_block
from clearhead.model.context import ForwardContext, Pair
from clearhead.model.layers import build_norm
from clearhead.positions import alibi_slopes, relative_bucket, rotary_amplitude, rotary_frequencies


class Stack(nn.Module):
    """`n_layers` blocks and, where norms come first, a last norm."""

    def __init__(self, config: ModelConfig, path: str, n_layers: int, *, causal: bool, cross: bool) -> None:
        super().__init__()
        self.config, self.path, self.causal = config, path, causal
        blocks = (build_block(config, f"{path}.layers.{i}", cross=cross) for i in range(n_layers))
        self.layers = nn.ModuleList(blocks)
        self.norm = build_norm(config) if config.norm_placement == "pre" else nn.Identity()
        self.position_bias = build_position_bias(config, causal=causal)

    def forward(self, x: Tensor, positions: Tensor, keys: Tensor, context: ForwardContext) -> Tensor:
        """[B, T, C] at `positions` [B, T] -> [B, T, C]; `keys` [B, S] holds each key's position, -1 at padding."""
        context.bias, context.causal = self.bias(positions, keys, x.dtype)
        if self.config.position == "rotary":
            context.rotary = rotary_tables(self.config, positions, x.dtype)
        if context.wants(f"{self.path}.bias"):
            context.record(f"{self.path}.bias", shown_bias(context, x.shape[1], keys.shape[1]))
        for layer in self.layers:
            x = layer(x, context)
        return context.show(f"{self.path}.output", self.norm(x))

    def bias(self, positions: Tensor, keys: Tensor, dtype: torch.dtype) -> tuple[Tensor | None, bool]:
        """All that is added to the scores [B, H or 1, T, S], and whether a plain causal mask does instead."""
        if self.position_bias is None and keys is positions:
            return None, self.causal
        hidden = self.hidden(positions, keys)  # [B, T, S]
        if self.position_bias is None and self.causal and not hidden.any():
            return None, False
        if self.position_bias is None and self.causal and len(hidden) == 1 and positions.shape == keys.shape:
            return None, True
        bias = torch.zeros(1, 1, 1, 1, dtype=dtype, device=keys.device)
        if self.position_bias is not None:
            bias = self.position_bias(positions, keys, dtype)
        return bias.masked_fill(hidden[:, None], float("-inf")), False

    def hidden(self, positions: Tensor, keys: Tensor) -> Tensor:
        """[B, T, S]: which keys a query may not see."""
        padding = (keys < 0)[:, None].expand(-1, positions.shape[1], -1)
        return padding | (keys[:, None] > positions[..., None]) if self.causal else padding


def shown_bias(context: ForwardContext, queries: int, keys: int) -> Tensor:
    """[1, H or 1, T, S]: the score bias with everything that stands in for one."""
    if context.bias is not None:
        return context.bias.expand(-1, -1, queries, keys)
    bias = torch.zeros(1, 1, queries, keys)
    ahead = torch.ones(queries, keys, dtype=torch.bool).triu(1)
    return bias.masked_fill(ahead, float("-inf")) if context.causal else bias


def rotary_tables(config: ModelConfig, positions: Tensor, dtype: torch.dtype) -> Pair:
    """cos and sin for `positions` [B, T], each [B, 1, T, D]."""
    frequencies = frequencies_on(positions.device, config.head_dim, config.rotary_base, config.rotary_scaling)
    return cos_sin(positions[:, None], frequencies, rotary_amplitude(config), dtype)


@cache
@torch.inference_mode(False)
def frequencies_on(device: torch.device, head_dim: int, base: float, scaling: RotaryScaling | None) -> Tensor:
    """[D / 2], sent to a device once: a copy from the processor is nothing that a recording may hold."""
    return torch.from_numpy(rotary_frequencies(head_dim, base, scaling)).to(device)


def cos_sin(positions: Tensor, frequencies: Tensor, amplitude: float, dtype: torch.dtype) -> Pair:
    """[...] and [D / 2] in float64 -> two of [..., D]; the angles are float64, for long positions turn far."""
    angles = positions[..., None] * frequencies
    angles = torch.cat([angles, angles], dim=-1)
    return (angles.cos() * amplitude).to(dtype), (angles.sin() * amplitude).to(dtype)


def build_position_bias(config: ModelConfig, *, causal: bool) -> nn.Module | None:
    """The module that turns positions into a score bias, for the two schemes that work so."""
    if config.position == "alibi":
        return AlibiBias(config)
    return RelativeBias(config, causal=causal) if config.position == "relative" else None


class AlibiBias(nn.Module):
    """A fixed linear penalty on distance, steeper in some heads: Press et al. 2021, section 3."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.slopes = alibi_slopes(config.n_heads)

    def forward(self, positions: Tensor, keys: Tensor, dtype: torch.dtype) -> Tensor:
        """[B, T] and [B, S] -> [B, H, T, S]."""
        slopes = slopes_on(keys.device, dtype, len(self.slopes))
        distance = (keys[:, None] - positions[..., None]).abs().to(dtype)  # [B, T, S]
        return -slopes[:, None, None] * distance[:, None]


@cache
@torch.inference_mode(False)
def slopes_on(device: torch.device, dtype: torch.dtype, heads: int) -> Tensor:
    """[H], sent to a device once."""
    return torch.from_numpy(alibi_slopes(heads)).to(device=device, dtype=dtype)


class RelativeBias(nn.Module):
    """One learned number per bucket of distances and head, shared by all layers of a stack: Raffel et al. 2019."""

    def __init__(self, config: ModelConfig, *, causal: bool) -> None:
        super().__init__()
        self.config, self.causal = config, causal
        self.weight = nn.Parameter(torch.empty(config.relative_buckets, config.n_heads))

    def forward(self, positions: Tensor, keys: Tensor, dtype: torch.dtype) -> Tensor:
        """[B, T] and [B, S] -> [B, H, T, S]."""
        c, distance = self.config, keys[:, None] - positions[..., None]  # [B, T, S]
        reach = c.relative_max_distance  # farther ones share the last bucket
        buckets = buckets_on(keys.device, reach, not self.causal, c.relative_buckets)
        bucket = buckets[distance.clamp(-reach, reach) + reach]
        return self.weight[bucket].permute(0, 3, 1, 2).to(dtype)


@cache
@torch.inference_mode(False)
def buckets_on(device: torch.device, reach: int, bidirectional: bool, buckets: int) -> Tensor:
    """The bucket of each distance from -reach to reach, sent to a device once."""
    distances = np.arange(-reach, reach + 1)
    found = relative_bucket(distances, bidirectional=bidirectional, buckets=buckets, max_distance=reach)
    return torch.from_numpy(found).to(device)
