"""A recurrent model with given weights in it, and the weights of one as arrays."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from numpy.typing import NDArray

from clearhead.executor import Floats
from clearhead.model.loading import Undrawn, check_arithmetic, fill
from clearhead.model.memory import to_numpy
from clearhead.recurrent.config import RecurrentConfig
from clearhead.recurrent.model import Recurrent


def build(config: RecurrentConfig, weights: Iterable[tuple[str, NDArray[Any]]], dtype: str, device: str) -> Recurrent:
    """The model of `config`, its parameters made of `weights` as they come; it is not for training.

    Raises:
        OptionError: an unknown dtype, or a device that is not here.
    """
    check_arithmetic(dtype, device)
    with torch.device("meta"), Undrawn():  # shapes only: nothing is allocated until its values arrive
        model = Recurrent(config).requires_grad_(False)
    fill(model, weights, dtype, device)
    return model.eval()


def weights_of(model: Recurrent) -> Iterator[tuple[str, Floats]]:
    """Name and values of every weight, in float32 (float64 where the model has it)."""
    return ((name, to_numpy(weight.detach())) for name, weight in model.named_parameters())
