"""Small models, and runs of them with someone looking on, that the tests of traces share."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from clearhead.executor import Executor, Memory
from clearhead.trace import Trace
from models import BY_FAMILY

torch.set_num_threads(1)
FAMILIES = pytest.mark.parametrize("family", BY_FAMILY)
DECODERS = pytest.mark.parametrize("family", [name for name, config in BY_FAMILY.items() if config.n_decoder_layers])
LABELS = {"head_bias": True, "labels": ("a", "b", "c")}
CONFIGS = BY_FAMILY | {
    "labels of tokens": replace(BY_FAMILY["bert"], head="token_labels", **LABELS),
    "label of a text": replace(BY_FAMILY["bert"], head="sequence_labels", pooler=True, **LABELS),
    "no head": replace(BY_FAMILY["bert"], head="none", head_bias=False),
}
DEEPER = replace(BY_FAMILY["t5"], n_encoder_layers=3)  # than its decoder of two layers
ROW = [3, 14, 15, 9, 2, 6, 5, 27, 1]
SOURCE = [8, 28, 4, 19, 7]
H, K, D, C = 6, 2, 4, 24  # of llama


def read(
    model: Executor, row: Sequence[int] = ROW, *, trace: Trace | None = None, sizes: Sequence[int] = (), start: int = 0
) -> np.ndarray:
    """Everything a model makes of a row, in pieces of some sizes; `start` tokens are read before the trace begins.

    Beside a decoder the encoder reads SOURCE. An encoder's head is asked where it has one.
    """
    config, memory = model.config, None
    if config.n_encoder_layers:
        memory = model.encode([SOURCE if config.n_decoder_layers else list(row)], trace=trace)
    if memory is not None and not config.n_decoder_layers:
        return memory.states[0] if config.head == "none" else model.head(memory, trace)[0]
    if not sizes and not start:
        return model.decode([list(row)], memory=memory, want="all", trace=trace)[0]
    return in_pieces(model, row, trace, sizes or (len(row) - start,), start, memory)


def in_pieces(
    model: Executor, row: Sequence[int], trace: Trace | None, sizes: Sequence[int], start: int, memory: Memory | None
) -> np.ndarray:
    cache, at, found = model.new_cache(1, len(row)), start, []
    if start:
        found += model.decode([list(row[:start])], cache, memory, want="all")
    if trace is not None:
        trace.room = {"decoder": len(row) - start}
    for size in sizes:
        found += model.decode([list(row[at : at + size])], cache, memory, want="all", trace=trace)
        at += size
    return np.concatenate(found)


def seen(model: Executor, row: Sequence[int] = ROW, **chosen: Any) -> Trace:
    """The trace of one pass."""
    trace = Trace(model.config, **chosen)
    read(model, row, trace=trace)
    trace.ids = {"decoder": list(row)} if model.config.n_decoder_layers else {"encoder": list(row)}
    return trace


def same(one: Trace, other: Trace) -> None:
    """Bit for bit, everywhere."""
    assert one.paths == other.paths
    for path in one:
        assert np.array_equal(one[path], other[path]), path


def unable(*_: object, **__: object) -> None:
    raise AssertionError("the model ran")
