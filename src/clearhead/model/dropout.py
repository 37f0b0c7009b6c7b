"""Dropout: what a training pass leaves out, as data that travels in the context of the call.

Srivastava et al. 2014; where it is applied, Vaswani et al. 2017, section 5.4, and for attention weights and the MLP's
hidden layer, the code of its authors.
"""

from dataclasses import dataclass, fields
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from clearhead.errors import ConfigError
from clearhead.model.fused.arrays import takes
from clearhead.model.fused.sublayer import dropped

Place = Literal["embedding", "residual", "attention", "activation"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Dropout:
    """The share of numbers set to 0, by place; what is left is scaled up so that sums keep their mean.

    Raises:
        ConfigError: a rate outside [0, 1).
    """

    embedding: float = 0.0  # the sum of token and position, after its norm
    residual: float = 0.0  # what a sublayer adds
    attention: float = 0.0  # attention weights
    activation: float = 0.0  # the MLP's hidden layer

    def __post_init__(self) -> None:
        for f in fields(self):
            if not 0 <= (rate := getattr(self, f.name)) < 1:
                raise ConfigError(f"{f.name} dropout is {rate!r}; it must be at least 0 and below 1")

    def __call__(self, x: Tensor, place: Place) -> Tensor:
        """x with this place's share of it left out."""
        rate = self.rate(place)
        return x if rate == 0 else drop(x, rate)

    def rate(self, place: Place) -> float:
        """The share that is left out there."""
        rate: float = getattr(self, place)
        return rate


NONE = Dropout()


def drop(x: Tensor, rate: float) -> Tensor:
    """x with each number left out with probability `rate`, the others scaled up."""
    return dropped(x, rate) if takes(x) else F.dropout(x, rate)
