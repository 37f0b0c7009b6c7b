"""What a GPU would record and replay, recorded and replayed here call by call: whatever a function read from Python,
and not from its tensors, is as old in the replay as in a CUDA graph."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

SYNCHRONISING = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)


class Calls(TorchDispatchMode):
    """Every call of a function, in order; those a GPU could not record are errors."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func not in SYNCHRONISING, f"{func} waits for a value"
        out = func(*args, **(kwargs or {}))
        self.made.append((func, args, kwargs or {}, out))
        return out


class Recording:
    """In a CUDA graph's place: the same calls on the same tensors, and no Python between them."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.replays = 0
        with Calls() as calls:
            self.output = function()
        self.calls = calls.made

    def replay(self) -> None:
        """All calls once more."""
        self.replays += 1
        for func, args, kwargs, out in self.calls:
            again = func(*args, **kwargs)
            for old, new in zip(tensors(out), tensors(again), strict=True):
                if not func._schema.is_mutable and old.data_ptr() != new.data_ptr():  # a new tensor, and no view
                    old.copy_(new)

    def __call__(self) -> Tensor:
        self.replay()
        output: Tensor = self.output.clone()
        return output


def tensors(out: Any) -> list[Tensor]:
    """Those of one result, or of several."""
    return [out] if isinstance(out, Tensor) else [each for each in out or () if isinstance(each, Tensor)]
