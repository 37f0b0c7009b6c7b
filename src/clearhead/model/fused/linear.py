"""Linear layers that learn in bfloat16: products with parameters that stay float32, and their gradients in float32.

torch's autocast turns each parameter into bfloat16 and its gradient back from it, and layers that read one input have
their gradients of it added up afterwards. Here the kernels lay parameters out as they round them, sum the gradients of
parameters in float32, and add those of a shared input where they are written.

M rows, K inputs, N outputs.
"""

from typing import Any

import torch
from torch import Tensor, nn

from clearhead.model.fused.arrays import array, extension, first_order, floats, maybe, multiplies, takes

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def project(x: Tensor, *layers: nn.Module) -> tuple[Tensor, ...]:
    """What each layer makes of x [..., K]: one [..., N] for each."""
    if not can_project(x, layers):
        return tuple(layer(x) for layer in layers)
    parameters = [p for layer in layers for p in (layer.weight, layer.bias)]
    return Project.apply(x, *parameters)


def can_project(x: Tensor, layers: tuple[nn.Module, ...]) -> bool:
    """Whether there is a kernel: under autocast, for plain layers that nobody watches."""
    if not torch.is_autocast_enabled("cpu") or x.dtype != torch.bfloat16 or not takes(x) or not multiplies():
        return False
    return x.numel() > 0 and all(plain(layer) for layer in layers)


def plain(layer: nn.Module) -> bool:
    """Whether a module is a linear layer and nothing else, of float32 and with sizes that pairs of numbers fill."""
    if type(layer) is not nn.Linear or any(getattr(layer, hooks) for hooks in HOOKS):
        return False
    if layer.weight.dtype != torch.float32 or layer.weight.numel() == 0:
        return False
    return layer.in_features % 2 == layer.out_features % 2 == 0


class Project(torch.autograd.Function):
    """x [..., K], then weight [N, K] and bias [N] or None of each layer."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *parameters: Tensor | None) -> tuple[Tensor, ...]:
        """One [..., N] for each layer."""
        rows = x.reshape(-1, x.shape[-1]).contiguous()  # [M, K]
        outs = []
        for weight, bias in zip(parameters[::2], parameters[1::2], strict=True):
            assert weight is not None
            out = torch.empty(*x.shape[:-1], len(weight), dtype=x.dtype)
            extension().linear(
                x=array(rows),
                weight=floats(weight),
                bias=floats(bias),
                out=array(out.view(len(rows), -1)),
                threads=torch.get_num_threads(),
            )
            outs.append(out)
        ctx.save_for_backward(rows, *parameters[::2])
        ctx.set_materialize_grads(False)
        return tuple(outs)

    @staticmethod
    @first_order
    def backward(ctx: Any, *d_outs: Tensor | None) -> tuple[Tensor | None, ...]:
        """Of x, and of each layer's weight and bias."""
        rows, *weights = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        d_x: Tensor | None = None
        gradients: list[Tensor | None] = []
        for i, (weight, d_out) in enumerate(zip(weights, d_outs, strict=True)):
            of_weight, of_bias = wanted[1 + 2 * i], wanted[2 + 2 * i]
            if d_out is None:
                gradients += [None, None]
                continue
            d = d_out.reshape(len(rows), -1).contiguous()  # [M, N]
            first = d_x is None
            if wanted[0] and first:
                d_x = torch.empty_like(rows)
            d_weight = weight.new_empty(weight.shape) if of_weight or of_bias else None
            d_bias = weight.new_empty(len(weight)) if of_bias else None
            extension().linear_backward(
                d_out=array(d),
                x=array(rows),
                weight=floats(weight),
                d_x=maybe(d_x),
                d_weight=maybe(d_weight),
                d_bias=maybe(d_bias),
                add=not first,
                threads=torch.get_num_threads(),
            )
            gradients += [d_weight if of_weight else None, d_bias]
        shape = next(d.shape for d in d_outs if d is not None)[:-1]
        return None if d_x is None else d_x.view(*shape, -1), *gradients
