"""AdamW over a model's parameters (Kingma and Ba 2014, 1412.6980; Loshchilov and Hutter 2017, 1711.05101).

Weight decay pulls at matrices alone: what scales or shifts (norms, biases) has no length to keep short.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clearhead.errors import DivergedError
from clearhead.training.learning.averaging import local


@dataclass(frozen=True, kw_only=True, slots=True)
class Adam:
    """Its numbers; `lr` is the peak of the schedule."""

    lr: float
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-9
    weight_decay: float = 0.0


def build_optimiser(model: nn.Module, adam: Adam) -> torch.optim.AdamW:
    """Fused where torch has a kernel for the device."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": adam.weight_decay},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [{**g, "peak": adam.lr} for g in groups if g["params"]], lr=adam.lr, betas=adam.betas, eps=adam.eps, fused=True
    )


def scale_and_clip(
    parameters: list[nn.Parameter], scale: float, limit: float | None, total: Callable[[float], float] = lambda own: own
) -> float:
    """Multiply all gradients by `scale`, then shorten them to `limit` together if they are longer (Pascanu et al. 2012,
    1211.5063). Returns their length after the first. `total` makes it of the length of what this rank holds.

    Raises:
        DivergedError: the length is no number.
    """
    gradients = local(p.grad for p in parameters if p.grad is not None)
    length = total(float(norm(gradients))) * scale
    if not math.isfinite(length):
        raise DivergedError(f"the gradient's length is {length}")
    factor = scale * (1.0 if limit is None or length <= limit else limit / length)
    torch._foreach_mul_(gradients, factor)
    return length


def norm(tensors: list[Tensor]) -> Tensor:
    """The length of all tensors as one vector."""
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors)))
