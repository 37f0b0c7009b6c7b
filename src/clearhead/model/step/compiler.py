"""torch.compile for the pieces of a step: one fixed shape at a time, no piece broken up, positions left open."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from clearhead.model.step.cache import Storage

# A matrix times one vector becomes a sum, fused with what stands around it, its tiles found by trying; products with
# more rows stay with the vendor's library.
OPTIONS: dict[str, Any] = {"coordinate_descent_tuning": True}
SHAPES = 1024  # numbers of rows and spans, each of which is compiled for itself


def compiled(piece: Callable[..., Any]) -> Callable[..., Any]:
    """A piece that is compiled when it is first called: to import the compiler takes seconds."""

    @cache
    def fused() -> Callable[..., Any]:
        return torch.compile(piece, fullgraph=True, dynamic=False, options=OPTIONS)

    def call(*arguments: Any) -> Any:
        function = fused()
        with torch._dynamo.config.patch(recompile_limit=SHAPES, accumulated_recompile_limit=SHAPES):
            return function(*arguments)

    return call


def leave_open(storage: Storage) -> Storage:
    """Have pieces compiled for any capacity, not for this storage's alone."""
    from torch._dynamo import maybe_mark_dynamic

    for stored in storage.tensors():
        maybe_mark_dynamic(stored, 2)
    return storage


def is_compilers(error: RuntimeError) -> bool:
    """Whether it was the compiler that failed, not what it compiled."""
    from torch._dynamo.exc import TorchDynamoException

    return isinstance(error, TorchDynamoException)


def reason(error: RuntimeError) -> str:
    """The first of a compiler's many lines that says something."""
    inner = getattr(error, "inner_exception", error)
    return str(inner).strip().partition("\n")[0]
