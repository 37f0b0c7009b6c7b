"""Multi-head attention for every family: self or cross, one key head per query head or shared, any position scheme.

B batch, T queries, S keys, C d_model, H query heads, K key/value heads, D head_dim.
"""

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from clearhead.config import ModelConfig
from clearhead.model.context import ForwardContext, Pair
from clearhead.model.fused import attention as fused
from clearhead.model.fused.linear import project

# On a GPU, all of torch's but cuDNN's, which makes a plan for every new shape: batches of sentences and texts that grow
# have a new one each step, and a step took ten times as long.
KERNELS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]

Mask = tuple[Tensor | None, bool]  # the score bias [B, H or 1, T, S], and whether a plain causal mask stands in for it


class Attention(nn.Module):
    """Self-attention: Vaswani et al. 2017, section 3.2, with grouped keys (Ainslie et al. 2023, 2305.13245)."""

    def __init__(self, config: ModelConfig, path: str) -> None:
        super().__init__()
        self.path = path
        self.head_dim, self.scale = config.head_dim, config.score_scale
        self.grouped = config.n_kv_heads != config.n_heads
        width, kv_width = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
        biased = config.attention_bias != "none"
        self.query = nn.Linear(config.d_model, width, bias=biased)
        self.key = nn.Linear(config.d_model, kv_width, bias=biased)
        self.value = nn.Linear(config.d_model, kv_width, bias=biased)
        self.output = nn.Linear(width, config.d_model, bias=config.attention_bias == "all")

    def forward(self, x: Tensor, context: ForwardContext) -> Tensor:
        """[B, T, C] -> [B, T, C], every token having looked at those it may see."""
        q, k, v = map(self.heads, project(x, self.query, self.key, self.value))
        if context.rotary is not None:
            q, k = rotate(q, context.rotary), rotate(k, context.rotary)
        q = context.show(f"{self.path}.query", q)
        k, v = context.change(f"{self.path}.key", k), context.change(f"{self.path}.value", v)
        if context.cache is not None and context.slots is not None:
            k, v = context.cache.extend(self.path, k, v, context.slots)
        return self.mix(q, (k, v), (context.bias, context.causal), context)

    def mix(self, q: Tensor, kv: Pair, mask: Mask, context: ForwardContext) -> Tensor:
        """[B, H, T, D] and two of [B, K, S, D] -> [B, T, C]; weights are formed only where someone looks at them."""
        (k, v), (bias, causal) = kv, mask
        context.record(f"{self.path}.key", k)
        context.record(f"{self.path}.value", v)
        watched = context.wants(f"{self.path}.weights")
        if context.learns_on_cpu(q) and not watched and fused.can_attend(q, k, v, bias):
            rate = context.rate("attention")
            mixed = fused.attend(q, k, v, bias, causal=causal, scale=self.scale, dropout=rate)
        elif context.learns_on_cpu(q) or watched:
            weights = context.show(f"{self.path}.weights", attention_weights(q, k, mask, self.scale))
            mixed = blend(context.drop(weights, "attention"), v)
        else:
            with sdpa_kernel(KERNELS) if q.is_cuda else nullcontext():
                mixed = F.scaled_dot_product_attention(
                    q,
                    k,
                    v,
                    attn_mask=bias,
                    dropout_p=context.rate("attention"),
                    is_causal=causal,
                    scale=self.scale,
                    enable_gqa=self.grouped,
                )
        mixed = context.show(f"{self.path}.heads", mixed)
        [out] = project(mixed.transpose(1, 2).flatten(2), self.output)  # [B, H, T, D] -> [B, T, H * D] -> [B, T, C]
        return context.show(f"{self.path}.output", out)

    def heads(self, x: Tensor) -> Tensor:
        """[B, T, H * D] -> [B, H, T, D]."""
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)


class CrossAttention(Attention):
    """The decoder's look at the encoder: queries from one, keys and values from the other's output."""

    def forward(self, x: Tensor, context: ForwardContext) -> Tensor:
        """[B, T, C] -> [B, T, C]."""
        [q] = project(x, self.query)
        q = context.show(f"{self.path}.query", self.heads(q))
        assert context.memory is not None
        kv = context.memory.keys_values(self.path, self.keys_values)
        return self.mix(q, kv, (context.memory_bias, False), context)

    def keys_values(self, memory: Tensor) -> Pair:
        """[B, S, C] -> two of [B, K, S, D]."""
        k, v = project(memory, self.key, self.value)
        return self.heads(k), self.heads(v)


def attention_weights(q: Tensor, k: Tensor, mask: Mask, scale: float) -> Tensor:
    """softmax(q k^T * scale + bias) [B, H, T, S]: the first half of equation 1, in the open."""
    k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)  # [B, H, S, D]
    bias, causal = mask
    scores = (q * scale) @ k.mT  # [B, H, T, S]; what follows is in place, for this is the largest array of a pass
    if causal:
        bias = torch.full(scores.shape[-2:], float("-inf"), dtype=scores.dtype, device=q.device).triu(1)
    if bias is not None:
        scores += bias
    return scores.softmax(dim=-1)


def blend(weights: Tensor, v: Tensor) -> Tensor:
    """Each query's share of every value [B, H, T, D]: the second half of equation 1."""
    return weights @ v.repeat_interleave(weights.shape[1] // v.shape[1], dim=1)


def rotate(x: Tensor, rotary: Pair) -> Tensor:
    """Turn each pair (i, i + D/2) of x [B, H, T, D] by its angle (Su et al. 2021, equation 34)."""
    cos, sin = rotary
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin
