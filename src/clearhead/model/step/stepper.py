"""Decoding of one new token per row: inputs in, one launch, logits out.

B rows of a call, V vocab_size.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from threading import Lock
from typing import Literal

import torch
from torch import Tensor

from clearhead.model.memory import TorchMemory
from clearhead.model.step.cache import Prepare, StaticCache, Storage, Storages
from clearhead.model.step.compiler import compiled, is_compilers, leave_open, reason
from clearhead.model.step.forward import Fuse, Pieces, Step, as_it_is
from clearhead.model.step.graph import Function, Graph
from clearhead.model.transformer import Transformer

Decoding = Literal["eager", "static", "compiled"]
Record = Callable[[Function], Function]  # from a function to what replays it


class Stepper:
    """Steps of one model. They take turns, for they share the memory they compute in."""

    def __init__(
        self,
        model: Transformer,
        *,
        fuse: Fuse = as_it_is,
        record: Record = as_it_is,
        prepare: Prepare = as_it_is,
        spread: int = 0,
    ) -> None:
        self.pieces, self.storages = Pieces(model), Storages(model, prepare)
        self.step, self.record, self.turn = Step(self.pieces, fuse, spread), record, Lock()

    def new_cache(self, rows: int, capacity: int) -> StaticCache:
        """An empty cache that steps can use."""
        return StaticCache(self.storages, rows, capacity)

    def __call__(self, ids: Sequence[int], cache: StaticCache, memory: TorchMemory | None) -> Tensor:
        """Logits [B, V] after one more token of each row, on the processor's side.

        Raises:
            ContextWindowError: a row would hold more positions than the cache was made for.
        """
        slots, storage = cache.slots([1] * len(ids)), cache.storage
        with self.turn:
            if memory is not None:
                storage.remember(memory)
            storage.write_inputs(ids, slots.starts)
            logits = fetched(self.run(storage, storage.span(slots.end))[: len(ids)])
        cache.advance(slots)
        return logits

    def run(self, storage: Storage, span: int) -> Tensor:
        """Replay the step over a storage, which is recorded when it is the first of its span."""
        try:
            if span not in storage.replays:
                storage.replays[span] = self.record(partial(self.step, storage, span))
            return storage.replays[span]()
        except RuntimeError as error:
            if not is_compilers(error):
                raise
            warnings.warn(f"decoding without torch.compile, which failed: {reason(error)}", stacklevel=2)
            self.step = Step(self.pieces)
            storage.replays.clear()
            return self.run(storage, span)


def build_stepper(model: Transformer, decoding: Decoding | None) -> Stepper | None:
    """What decodes one token per row as `decoding` says: on a GPU compiled, where it says nothing; else nothing."""
    device = model.embed.tokens.weight.device
    decoding = decoding or ("compiled" if device.type == "cuda" else "eager")
    if decoding == "eager":
        return None
    record = partial(Graph, device=device, pool=torch.cuda.graph_pool_handle()) if device.type == "cuda" else as_it_is
    if decoding == "static":
        return Stepper(model, record=record)
    return Stepper(model, fuse=compiled, record=record, prepare=leave_open, spread=processors(device))


def processors(device: torch.device) -> int:
    """Parts of a GPU that compute on their own."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 0


def fetched(x: Tensor) -> Tensor:
    """On the processor's side; from a GPU by way of memory it writes itself."""
    here = x.to("cpu", non_blocking=True)
    if x.is_cuda:
        torch.cuda.current_stream(x.device).synchronize()
    return here
