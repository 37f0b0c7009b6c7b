"""The functions of the MLP, on every instruction set, against the same in twice the digits."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from clearhead.native import _native

FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "none": lambda x: x,
    "relu": torch.relu,
    "gelu": lambda x: x * torch.special.ndtr(x),
    "gelu_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    "silu": torch.nn.functional.silu,
}
BOTH = pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name in _native.instruction_sets() for kind in FUNCTIONS]
)


def activated(name: str, kind: str, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The function of each x."""
    out = np.empty_like(x)
    _native.activate(name, kind, x, out)
    return out


@BOTH
def test_activations_of_ordinary_values(name: str, kind: str) -> None:
    x = np.linspace(-12, 12, 100_003, dtype=np.float32)
    expected = FUNCTIONS[kind](torch.from_numpy(x).double()).numpy()
    np.testing.assert_allclose(activated(name, kind, x), expected, rtol=6e-7, atol=5e-7)


@BOTH
def test_activations_of_tails(name: str, kind: str) -> None:
    """Where a difference of two numbers close to one would have no digits left; x^2 / 2 near 72 is rounded to 4e-6."""
    if kind == "gelu_tanh":
        pytest.skip("the argument of its exponential grows with the cube, and its error with that")
    x = np.linspace(-12, -0.5, 50_001, dtype=np.float32)
    expected = {"gelu": lambda t: t * torch.special.log_ndtr(t).exp()}.get(kind, FUNCTIONS[kind])
    np.testing.assert_allclose(activated(name, kind, x), expected(torch.from_numpy(x).double()), rtol=5e-6)


@BOTH
def test_activations_of_the_largest_values(name: str, kind: str) -> None:
    x = np.array([-3.4e38, -1e30, -1e10, -1000, -120, -90, 90, 1000, 1e10, 1e30, 3.4e38, np.nan, np.inf], np.float32)
    expected = FUNCTIONS[kind](torch.from_numpy(x).double()).numpy()
    np.testing.assert_allclose(activated(name, kind, x), expected, rtol=1e-6, atol=1e-30)
