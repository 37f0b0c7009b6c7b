"""Whether the kernels of training can take some tensors, and the tensors as they take them. All others ask here.

The kernels know float32 and bfloat16 on a processor. Everything else (GPUs, float64, an installation without the
extension) is left to torch.
"""

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import torch
from torch import Tensor
from torch.utils import dlpack

from clearhead.errors import UnsupportedError

Backward = Callable[..., tuple[Tensor | None, ...]]
TYPES = (torch.float32, torch.bfloat16)


@cache
def extension() -> Any:
    """The compiled module; None where there is none, or none for vectors of this machine: torch's are quicker then."""
    try:
        from clearhead.native import _native
    except ImportError:
        return None
    return None if _native.instruction_sets() == ["portable"] else _native


def multiplies() -> bool:
    """Whether products in bfloat16 are quicker here than torch's: with the instructions for them (AVX-512 BF16), but
    without tiles (AMX), which torch uses and these kernels do not."""
    module = extension()
    return module is not None and module.instruction_sets()[-1] == "avx512_bf16"


def takes(first: Tensor, *others: Tensor | None) -> bool:
    """Whether these tensors, those that are there, are all of one type that the kernels know."""
    kind, device = first.dtype, first.device
    if device.type != "cpu" or kind not in TYPES or extension() is None:
        return False
    return all(t is None or (t.dtype == kind and t.device == device) for t in others)


def array(x: Tensor) -> Any:
    """The memory of a tensor for one call, as a DLPack capsule; bfloat16 as 16-bit integers.

    Tensor.numpy would pin it: that of a sharded parameter is given back after use.
    """
    x = x.detach()
    numbers = x.view(torch.int16) if x.dtype == torch.bfloat16 else x
    return dlpack.to_dlpack(numbers)  # type: ignore[attr-defined]  # which torch offers without declaring it


def maybe(x: Tensor | None) -> Any:
    """The memory of a tensor that may be missing."""
    return None if x is None else array(x)


def floats(x: Tensor | None) -> Any:
    """A parameter in float32, in one piece."""
    return None if x is None else array(x.detach().float().contiguous())


def new_seed() -> int:
    """Of a draw of random numbers: 63 bits from torch's generator, whose state thus decides about all of them."""
    return int(torch.empty((), dtype=torch.int64).random_())


def first_order(backward: Backward) -> Backward:
    """A backward pass that has no gradient of its own, and says so where one is asked for.

    Raises:
        UnsupportedError: when called while a graph is made, of it.
    """

    @wraps(backward)
    def checked(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise UnsupportedError(
                "kernels of training have no second derivatives; give no dropout to compute without them"
            )
        return backward(ctx, *upstream)

    return checked
