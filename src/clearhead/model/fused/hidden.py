"""The MLP's function in one pass each way, with the product of a gated MLP."""

from typing import Any

import torch
from torch import Tensor

from clearhead.model.fused.arrays import array, extension, first_order, maybe, takes


def can_activate(x: Tensor, up: Tensor | None) -> bool:
    """Whether there is a kernel for these."""
    return takes(x, up) and (up is None or up.shape == x.shape)


def activated(name: str, x: Tensor, up: Tensor | None = None) -> Tensor:
    """f(x), or f(x) * up where the MLP is gated."""
    return Activated.apply(name, x, up)


class Activated(torch.autograd.Function):
    """Keeps what it was given, and computes the rest again."""

    @staticmethod
    def forward(ctx: Any, name: str, x: Tensor, up: Tensor | None) -> Tensor:
        """Of any shape."""
        x, up = x.contiguous(), None if up is None else up.contiguous()
        out = torch.empty_like(x)
        extension().activate_hidden(
            activation=name, x=array(x), up=maybe(up), out=array(out), threads=torch.get_num_threads()
        )
        ctx.save_for_backward(x, up)
        ctx.name = name
        return out

    @staticmethod
    @first_order
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
        """Of x and of up."""
        x, up = ctx.saved_tensors
        d_x, d_up = torch.empty_like(x), None if up is None else torch.empty_like(x)
        extension().activate_hidden_backward(
            activation=ctx.name,
            x=array(x),
            up=maybe(up),
            d_out=array(d_out.contiguous()),
            d_x=array(d_x),
            d_up=maybe(d_up),
            threads=torch.get_num_threads(),
        )
        return None, d_x, d_up
