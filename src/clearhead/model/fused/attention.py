"""Attention over whole rows with its gradients, which keeps no weights: backward makes them again.

Reads queries, keys and values where the projections left them and writes what the output projection reads: neither
heads nor gradients are copied. After Dao et al. 2022 (2205.14135), section 3, for rows so short that all scores of a
few queries fit the cache.

B batch, T queries, S keys, H query heads, K key/value heads, D head_dim.
"""

from typing import Any

import torch
from torch import Tensor

from clearhead.model.fused.arrays import array, extension, first_order, maybe, new_seed, takes

LONGEST = 4096  # keys: beyond, the scores of a block of queries leave the cache


def can_attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> bool:
    """Whether `attend` has a kernel for these; a bias that learns must be one of all rows [1, H, T, S]."""
    if not takes(q, k, v) or q.numel() == 0 or not 0 < k.shape[2] <= LONGEST:
        return False
    return bias is None or not bias.requires_grad or bias.shape == (1, *q.shape[1:3], k.shape[2])


def attend(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, *, causal: bool, scale: float, dropout: float
) -> Tensor:
    """softmax(q k^T * scale + bias) v: of [B, H, T, D] and two of [B, K, S, D] -> [B, H, T, D], heads side by side.

    `bias` is [B or 1, H or 1, T or 1, S]; `dropout` the share of weights that are left out.
    """
    return Attend.apply(q, k, v, bias, causal, scale, dropout, new_seed() if dropout else 0)


class Attend(torch.autograd.Function):
    """The kernels as one node of the graph."""

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        bias: Tensor | None,
        causal: bool,
        scale: float,
        dropout: float,
        seed: int,
    ) -> Tensor:
        """[B, H, T, D]."""
        q, k, v = dense(q), dense(k), dense(v)
        B, H, T = q.shape[:3]
        wide = None if bias is None else dense(bias.to(q.dtype)).expand(B, H, T, k.shape[2])
        out = beside(q)
        sums = torch.empty(B, H, T, 2, dtype=torch.float32)
        extension().attend(
            query=array(q),
            key=array(k),
            value=array(v),
            bias=maybe(wide),
            out=array(out),
            sums=array(sums),
            causal=causal,
            scale=scale,
            seed=seed,
            rate=dropout,
            threads=torch.get_num_threads(),
        )
        ctx.save_for_backward(q, k, v, wide, sums)
        ctx.settings = {"causal": causal, "scale": scale, "seed": seed, "rate": dropout}
        ctx.bias_type = None if bias is None else bias.dtype
        return out

    @staticmethod
    @first_order
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
        """Of q, k, v and the bias."""
        q, k, v, wide, sums = ctx.saved_tensors
        dq, dk, dv = beside(q), beside(k), beside(v)
        d_bias = torch.zeros(1, *wide.shape[1:], dtype=torch.float32) if ctx.needs_input_grad[3] else None
        extension().attend_backward(
            query=array(q),
            key=array(k),
            value=array(v),
            bias=maybe(wide),
            sums=array(sums),
            d_out=array(dense(d_out)),
            d_query=array(dq),
            d_key=array(dk),
            d_value=array(dv),
            d_bias=maybe(d_bias),
            threads=torch.get_num_threads(),
            **ctx.settings,
        )
        return dq, dk, dv, None if d_bias is None else d_bias.to(ctx.bias_type), None, None, None, None


def dense(x: Tensor) -> Tensor:
    """x with the numbers of its last axis in one piece."""
    return x if x.stride(-1) == 1 or x.shape[-1] == 1 else x.contiguous()


def beside(x: Tensor) -> Tensor:
    """Memory for numbers like x [B, H, T, D], with the heads of a token side by side: [B, T, H, D]."""
    B, H, T, D = x.shape
    return torch.empty(B, T, H, D, dtype=x.dtype).transpose(1, 2)
