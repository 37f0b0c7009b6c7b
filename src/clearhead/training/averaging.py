"""Weights averaged over a run, which generalise better than the last ones of it.

The paper averages the last checkpoints (Vaswani et al. 2017, section 6.1); a moving average does the same without
files (Polyak and Juditsky 1992; Izmailov et al. 2018, 1803.05407).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Weights = dict[str, Tensor]


class MovingAverage:
    """An exponential moving average; its first steps forget faster, so that the beginning does not linger."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after a step."""
        decay = min(self.decay, (1 + step) / (10 + step))
        current = [p.detach() for p in model.parameters()]
        torch._foreach_lerp_(list(self.weights.values()), current, 1 - decay)


class LastAverage:
    """The mean of the newest `count` snapshots, one taken every `every` steps."""

    def __init__(self, count: int, every: int) -> None:
        self.count, self.every = count, every
        self.snapshots: list[Weights] = []

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take a snapshot where one is due."""
        if (step + 1) % self.every == 0:
            self.snapshots.append({name: p.detach().clone() for name, p in model.named_parameters()})
            self.snapshots = self.snapshots[-self.count :]

    @property
    def weights(self) -> Weights:
        """The mean; empty before the first snapshot."""
        return mean(self.snapshots)


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
    parameters = dict(model.named_parameters())
    own = {name: parameters[name].data for name in weights}
    try:
        for name, value in weights.items():
            parameters[name].data = value
        yield
    finally:
        for name, value in own.items():
            parameters[name].data = value
