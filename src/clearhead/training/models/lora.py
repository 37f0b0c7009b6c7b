"""LoRA: a loaded model learns by small changes beside its large matrices, which stay as they are.

Hu et al. 2021 (2106.09685), section 4.1: where a layer computes W x, it computes W x + (alpha / r) B A x. A is drawn,
B is zero, so the model begins as it was; only A and B learn, which is what an optimiser, an average and a checkpoint
then hold. Afterwards W + (alpha / r) B A is a matrix like any other, and costs nothing.

I columns in, O rows out, r rank.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.checkpoints.adapter import ends
from clearhead.errors import ConfigError
from clearhead.model.dropout import drop
from clearhead.training.recipe.keys import Lora

A, B = "lora_a", "lora_b"  # names of the two matrices beside a weight


class LowRank(nn.Module):
    """A linear layer that keeps its weight [O, I] and its bias, with the product of B [O, r] and A [r, I] beside it."""

    def __init__(self, layer: nn.Linear, *, rank: int, alpha: float, dropout: float) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self.rank, self.alpha, self.dropout = rank, alpha, dropout
        rows, columns = layer.weight.shape
        self.lora_a = nn.Parameter(torch.randn(rank, columns, device=layer.weight.device) * columns**-0.5)
        self.lora_b = nn.Parameter(torch.zeros(rows, rank, device=layer.weight.device))

    @property
    def scale(self) -> float:
        """What the product is multiplied with."""
        return self.alpha / self.rank

    def forward(self, x: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        read = drop(x, self.dropout) if self.training and self.dropout else x
        return F.linear(x, self.weight, self.bias) + F.linear(F.linear(read, self.lora_a), self.lora_b) * self.scale

    @torch.no_grad()
    def merged(self) -> Tensor:
        """The one matrix [O, I] that computes the same, rounded once."""
        change = self.lora_b.double() @ self.lora_a.double() * self.scale
        return (self.weight.double() + change).to(self.weight.dtype)


def add_lora(model: nn.Module, lora: Lora, *, anew: Sequence[str] = ()) -> None:
    """Freeze a model, and put low-rank changes beside the linear layers that `lora.targets` names by the ends of their
    paths; weights named in `anew`, which were never trained, learn as a whole.

    Raises:
        ConfigError: a target that no linear layer has, with those there are.
    """
    model.requires_grad_(False)
    for name in anew:
        model.get_parameter(name).requires_grad_(True)
    layers = {
        path: layer
        for path, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and f"{path}.weight" not in anew
    }
    for target in lora.targets:
        if not any(ends(path, target) for path in layers):
            known = ", ".join(sorted({path.rpartition(".")[2] for path in layers}))
            raise ConfigError(f"lora.targets: no linear layer's name ends in {target!r}; choose from {known}")
    for path, layer in layers.items():
        if any(ends(path, target) for target in lora.targets):
            parent, _, name = path.rpartition(".")
            changed = LowRank(layer, rank=lora.rank, alpha=lora.alpha, dropout=lora.dropout)
            setattr(model.get_submodule(parent), name, changed)


def low_rank(model: nn.Module) -> dict[str, LowRank]:
    """The changed layers by their paths."""
    return {path: layer for path, layer in model.named_modules() if isinstance(layer, LowRank)}
