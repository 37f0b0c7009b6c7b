"""Dropout, the residual sum and its norm in one pass, and the same backwards with the random numbers drawn again.

Dropout's numbers follow from a seed and a place (`src/native/random.h`), so that none are stored.

N rows, C columns.
"""

from typing import Any

import torch
from torch import Tensor, nn

from clearhead.model.fused.arrays import array, extension, first_order, floats, maybe, new_seed, takes


def can_join(x: Tensor, y: Tensor, norm: object = None) -> bool:
    """Whether `join` has a kernel for these."""
    return x.shape == y.shape and takes(x, y) and x.numel() > 0 and (norm is None or can_norm(norm, x))


def can_norm(norm: object, x: Tensor) -> bool:
    """Whether there is a kernel for this norm: over the last axis, with weights."""
    if not isinstance(norm, nn.LayerNorm | nn.RMSNorm) or norm.weight is None:
        return False
    return tuple(norm.normalized_shape) == x.shape[-1:] and takes(x) and x.numel() > 0


def dropped(x: Tensor, rate: float) -> Tensor:
    """x with each number left out with probability `rate`, the others scaled up."""
    return Dropped.apply(x, rate, new_seed())


def join(x: Tensor, y: Tensor, rate: float, norm: Any = None) -> Tensor:
    """x + dropped(y), or the norm of that."""
    seed = new_seed() if rate else 0
    if norm is None:
        return Joined.apply(x, y, rate, seed)
    return JoinedNormed.apply(x, y, *norm_parts(norm, x), rate, seed)


def branch(x: Tensor, norm: Any) -> tuple[Tensor, Tensor]:
    """x as it is and the norm of it; backwards, the gradients of both are added where the second's is made."""
    return Branch.apply(x, *norm_parts(norm, x))


def norm_parts(norm: Any, x: Tensor) -> tuple[Tensor, Tensor | None, float, bool]:
    """Weight [C], bias [C], what is added to the variance, and whether the mean is taken away."""
    eps = torch.finfo(x.dtype).eps if norm.eps is None else norm.eps
    return norm.weight, getattr(norm, "bias", None), eps, isinstance(norm, nn.LayerNorm)


def left_out(x: Tensor, rate: float, seed: int) -> Tensor:
    """x with what this seed leaves out set to 0."""
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    run(x=None, y=x.contiguous(), total=out, rate=rate, seed=seed)
    return out


def run(
    *,
    x: Tensor | None,
    y: Tensor,
    total: Tensor | None,
    rate: float = 0.0,
    seed: int = 0,
    out: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    statistics: Tensor | None = None,
    centred: bool = False,
    eps: float = 0.0,
) -> None:
    """The kernel: total = x + dropped(y), out = norm(total)."""
    extension().finish(
        x=maybe(x),
        y=array(y),
        total=maybe(total),
        out=maybe(out),
        weight=floats(weight),
        bias=floats(bias),
        statistics=maybe(statistics),
        centred=centred,
        eps=eps,
        seed=seed,
        rate=rate,
        threads=torch.get_num_threads(),
    )


class Dropped(torch.autograd.Function):
    """Dropout alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rate: float, seed: int) -> Tensor:
        """Of any shape."""
        ctx.rate, ctx.seed = rate, seed
        return left_out(x, rate, seed)

    @staticmethod
    @first_order
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, ...]:
        """The same places are left out."""
        return left_out(d, ctx.rate, ctx.seed), None, None


class Joined(torch.autograd.Function):
    """x + dropped(y)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, rate: float, seed: int) -> Tensor:
        """Of any shape."""
        ctx.rate, ctx.seed = rate, seed
        total = torch.empty_like(x, memory_format=torch.contiguous_format)
        run(x=x.contiguous(), y=y.contiguous(), total=total, rate=rate, seed=seed)
        return total

    @staticmethod
    @first_order
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, ...]:
        """That of x is the sum's."""
        return d, left_out(d, ctx.rate, ctx.seed) if ctx.rate else d, None, None


class JoinedNormed(torch.autograd.Function):
    """norm(x + dropped(y)); backward reads the sum again, which is kept as it was rounded."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        y: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        eps: float,
        centred: bool,
        rate: float,
        seed: int,
    ) -> Tensor:
        """[..., C]."""
        total = torch.empty_like(x, memory_format=torch.contiguous_format)
        return normed(ctx, x.contiguous(), y.contiguous(), total, weight, bias, eps, centred, rate, seed)

    @staticmethod
    @first_order
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
        """Of x, y, weight and bias."""
        total, weight, statistics = ctx.saved_tensors
        d_y = torch.empty_like(total) if ctx.rate else None
        d_x, d_weight, d_bias = norm_backward(ctx, total, weight, statistics, d_out, d_y=d_y)
        return d_x, d_x if d_y is None else d_y, d_weight, d_bias, None, None, None, None


class Branch(torch.autograd.Function):
    """x and norm(x)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, eps: float, centred: bool
    ) -> tuple[Tensor, Tensor]:
        """[..., C], twice."""
        out = normed(ctx, None, x.contiguous(), None, weight, bias, eps, centred)
        return x.view_as(x), out

    @staticmethod
    @first_order
    def backward(ctx: Any, d_same: Tensor, d_out: Tensor) -> tuple[Tensor | None, ...]:
        """Of x, weight and bias."""
        rows, weight, statistics = ctx.saved_tensors
        d_x, d_weight, d_bias = norm_backward(ctx, rows, weight, statistics, d_out, d_total=d_same.contiguous())
        return d_x, d_weight, d_bias, None, None


def normed(
    ctx: Any,
    x: Tensor | None,
    y: Tensor,
    total: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    eps: float,
    centred: bool,
    rate: float = 0.0,
    seed: int = 0,
) -> Tensor:
    """norm(x + dropped(y)), the sum written to `total`; norm(y) where there is no sum. What backward needs is kept."""
    out, statistics = torch.empty_like(y), torch.empty(2, y.numel() // y.shape[-1], dtype=torch.float32)
    run(
        x=x,
        y=y,
        total=total,
        out=out,
        weight=weight,
        bias=bias,
        statistics=statistics,
        centred=centred,
        eps=eps,
        rate=rate,
        seed=seed,
    )
    ctx.save_for_backward(y if total is None else total, weight, statistics)
    ctx.centred, ctx.rate, ctx.seed, ctx.biased = centred, rate, seed, bias is not None
    return out


def norm_backward(
    ctx: Any,
    total: Tensor,
    weight: Tensor,
    statistics: Tensor,
    d_out: Tensor,
    *,
    d_total: Tensor | None = None,
    d_y: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The gradients of what was normed [..., C], of weight and bias [C]; d_y is written."""
    d_x = torch.empty_like(total)
    d_parameters = torch.zeros(2 if ctx.biased else 1, total.shape[-1], dtype=torch.float32)
    extension().finish_backward(
        total=array(total),
        d_out=array(d_out.contiguous()),
        d_total=maybe(d_total),
        d_x=array(d_x),
        d_y=maybe(d_y),
        weight=floats(weight),
        statistics=array(statistics),
        d_parameters=array(d_parameters),
        centred=ctx.centred,
        seed=ctx.seed,
        rate=ctx.rate,
        threads=torch.get_num_threads(),
    )
    d_weight, d_bias = (*d_parameters.to(weight.dtype), None)[:2]
    return d_x, d_weight, d_bias
