"""A Transformer with a checkpoint's weights in it, one tensor in flight at a time."""

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from clearhead.config import ModelConfig
from clearhead.errors import OptionError
from clearhead.model.devices import find
from clearhead.model.transformer import Transformer

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


class Undrawn(TorchFunctionMode):
    """Leaves out the first values of parameters; to draw some without memory, torch would import SymPy for a second."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call `func`, unless it does no more than set such values."""
        return None if getattr(func, "__module__", "") == nn.init.__name__ else func(*args, **(kwargs or {}))


def build(config: ModelConfig, weights: Iterable[tuple[str, NDArray[Any]]], dtype: str, device: str) -> Transformer:
    """The model of `config`, its parameters made of `weights` as they come, so that none is held twice.

    Raises:
        OptionError: an unknown dtype, or a device that is not here.
    """
    check_arithmetic(dtype, device)
    with torch.device("meta"), Undrawn():  # shapes only: nothing is allocated until its values arrive
        model = Transformer(config).requires_grad_(False)
    fill(model, weights, dtype, device)
    return model.eval()


def fill(model: nn.Module, weights: Iterable[tuple[str, NDArray[Any]]], dtype: str, device: str) -> None:
    """Give each named parameter of a model that has shapes alone its values."""
    for name, array in weights:
        value = to_tensor(array).to(device=device, dtype=DTYPES[dtype])
        del array  # or it would be held while the next one is read
        path, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(path), leaf, nn.Parameter(value, requires_grad=False))


def check_arithmetic(dtype: str, device: str) -> None:
    """Refuse a type or a device that torch cannot compute with here.

    Raises:
        OptionError: which of the two, and what this machine has.
    """
    if dtype not in DTYPES:
        raise OptionError(f"dtype {dtype!r} is not one the torch executor computes in; choose from {', '.join(DTYPES)}")
    find(device)


def to_tensor(array: NDArray[Any]) -> Tensor:
    """NumPy to torch without a copy where memory allows; bfloat16, which NumPy only borrows, goes by its bits."""
    array = np.ascontiguousarray(array)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a read-only file mapping is fine: weights are never written
        if array.dtype.name == "bfloat16":
            return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
        return torch.from_numpy(array)
