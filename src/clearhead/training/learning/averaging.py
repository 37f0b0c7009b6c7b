"""Weights averaged over a run, which generalise better than the last ones of it.

The paper averages the last checkpoints (Vaswani et al. 2017, section 6.1); a moving average does the same without
files (Polyak and Juditsky 1992; Izmailov et al. 2018, 1803.05407). Where weights lie in parts on several ranks, so do
their averages.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Weights = dict[str, Tensor]


class MovingAverage:
    """An exponential moving average; its first steps forget faster, so that the beginning does not linger."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = snapshot(model)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after a step."""
        decay = min(self.decay, (1 + step) / (10 + step))
        current = local(p.detach() for p in trained(model).values())
        torch._foreach_lerp_(local(self.weights.values()), current, 1 - decay)


class LastAverage:
    """The mean of the newest `count` snapshots, one taken every `every` steps."""

    def __init__(self, count: int, every: int) -> None:
        self.count, self.every = count, every
        self.snapshots: list[Weights] = []

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take a snapshot where one is due."""
        if (step + 1) % self.every == 0:
            self.snapshots.append(snapshot(model))
            self.snapshots = self.snapshots[-self.count :]

    @property
    def weights(self) -> Weights:
        """The mean; empty before the first snapshot."""
        return mean(self.snapshots)


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights that learn, by name: with LoRA few of them."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def snapshot(model: nn.Module) -> Weights:
    """The weights that learn, as they are now."""
    return {name: p.detach().clone() for name, p in trained(model).items()}


def mean(many: list[Weights]) -> Weights:
    """Each weight's mean, summed in float64."""
    if not many:
        return {}
    return {
        name: (sum(w[name].double() for w in many) / len(many)).to(first.dtype)  # type: ignore[union-attr]
        for name, first in many[0].items()
    }


@contextmanager
def using(model: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """The model with other weights in it, while the block runs."""
    own = snapshot(model) if weights else {}
    try:
        load(model, weights)
        yield
    finally:
        load(model, own)


@torch.no_grad()
def load(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Write over the weights of these names, in the memory in which they lie."""
    parameters = dict(model.named_parameters())
    for name, value in weights.items():
        parameters[name].copy_(value)


def local(tensors: Iterable[Tensor]) -> list[Tensor]:
    """What this rank holds of each."""
    return [t.to_local() if hasattr(t, "to_local") else t for t in tensors]


def whole(tensor: Tensor) -> Tensor:
    """All of it, to which every rank that holds a part contributes."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
