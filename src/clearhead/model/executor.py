"""The torch executor: the equations of `transformer.py` behind the `Executor` contract.

Ragged rows are padded on the right for the pass and cut again on the way out. B rows, T tokens, S source tokens,
C d_model, V vocab_size.
"""

from collections.abc import Iterable
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clearhead.config import ModelConfig
from clearhead.errors import ContextWindowError, OptionError, UnsupportedError
from clearhead.executor import Cache, Floats, Memory, Tokens
from clearhead.model.cache import KVCache
from clearhead.model.devices import find
from clearhead.model.loading import build
from clearhead.model.memory import TorchMemory, cut, to_numpy
from clearhead.trace import Trace

T = TypeVar("T")


class TorchExecutor:
    """One model in PyTorch. `device` is any torch device; `dtype` is the type of weights and arithmetic alike."""

    name = "torch"

    def __init__(
        self, config: ModelConfig, weights: Iterable[tuple[str, NDArray[Any]]], dtype: str, device: str
    ) -> None:
        self.config, self.dtype, self.device = config, dtype, find(device)
        self.model = build(config, weights, dtype, device)

    def new_cache(self, rows: int, capacity: int) -> KVCache:
        """An empty cache for decoding."""
        if not 0 < capacity <= self.config.max_positions:
            raise OptionError(f"cache capacity is {capacity}; it must be from 1 to {self.config.max_positions}")
        return KVCache(rows, capacity)

    @torch.inference_mode()
    def encode(self, tokens: Tokens, token_types: Tokens | None = None, trace: Trace | None = None) -> TorchMemory:
        """Run the encoder over ragged rows."""
        if self.model.encoder is None:
            raise UnsupportedError("this model has no encoder")
        ids, lengths = self.pad(tokens)
        check_traced(tokens, trace, self.config)
        if min(lengths, default=0) == 0:
            raise OptionError("an encoder needs at least one row, and at least one token in every row")
        check_window(max(lengths), self.config)
        types = None if token_types is None else self.pad(token_types)[0]
        return TorchMemory(self.model.encode(ids, lengths, types, trace), lengths)

    @torch.inference_mode()
    def decode(
        self,
        tokens: Tokens,
        cache: Cache | None = None,
        memory: Memory | None = None,
        *,
        want: Literal["last", "all"] = "last",
        trace: Trace | None = None,
    ) -> list[Floats]:
        """Run the decoder over new tokens; float32 logits per row (float64 where the model computes in it)."""
        if self.model.decoder is None:
            raise UnsupportedError("this model has no decoder")
        if (memory is None) != (self.model.encoder is None):
            raise OptionError("a decoder beside an encoder needs the encoder's memory, and no other takes one")
        ids, lengths = self.pad(tokens)
        check_traced(tokens, trace, self.config)
        kept = None if cache is None else own(cache, KVCache)
        source = None if memory is None else own(memory, TorchMemory)
        check_rows(tokens, kept, source)
        if ids.shape[1] == 0:
            return [np.zeros((0, self.config.vocab_size), dtype=np.float32) for _ in tokens]
        check_window(max(lengths) if kept is None else kept.slots(lengths).end, self.config)
        states = self.model.decode(ids, lengths, cache=kept, memory=source, trace=trace)
        if want == "last":
            last = torch.tensor(lengths, device=self.device).clamp(min=1) - 1
            states = states[torch.arange(len(lengths), device=self.device), last][:, None]  # [B, 1, C]
            lengths = [min(n, 1) for n in lengths]
        return cut(self.model.logits(states, trace), lengths)

    @torch.inference_mode()
    def head(self, memory: Memory, trace: Trace | None = None) -> list[Floats]:
        """An encoder-only model's head over its states."""
        if self.model.head is None:
            raise UnsupportedError("this checkpoint has no head; it gives states and embeddings only")
        mine = own(memory, TorchMemory)
        logits = self.model.logits(mine.padded, trace)
        return cut(logits, [min(n, logits.shape[1]) for n in mine.lengths])

    @torch.inference_mode()
    def pool(self, memory: Memory) -> Floats:
        """[B, C] from the pooler."""
        if self.model.pooler is None:
            raise UnsupportedError("this checkpoint has no pooler")
        return to_numpy(self.model.pool(own(memory, TorchMemory).padded))

    def pad(self, rows: Tokens) -> tuple[Tensor, list[int]]:
        """Ragged rows as one tensor [B, T], filled on the right with id 0, and their lengths."""
        lengths = [len(row) for row in rows]
        ids = np.zeros((len(rows), max(lengths, default=0)), dtype=np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
        return torch.from_numpy(ids).to(self.device), lengths


def own(value: object, kind: type[T]) -> T:
    """A cache or memory that this executor made; another's means nothing here."""
    if not isinstance(value, kind):
        raise OptionError(f"the torch executor cannot use a {type(value).__name__}; it makes its own")
    return value


def check_traced(tokens: Tokens, trace: Trace | None, config: ModelConfig) -> None:
    """A trace shows one sequence, and only what the model has."""
    if trace is None:
        return
    if len(tokens) != 1:
        raise OptionError(f"a trace shows one sequence at a time, not {len(tokens)}")
    trace.check(config)


def check_rows(tokens: Tokens, cache: KVCache | None, memory: TorchMemory | None) -> None:
    """A cache and a memory hold one row for each of the call: torch would spread a single one over all in silence."""
    for name, held in (("cache", cache), ("memory", memory)):
        if held is not None and len(held.lengths) != len(tokens):
            raise OptionError(
                f"{len(tokens)} rows of tokens, and a {name} of {len(held.lengths)}; select its rows first"
            )


def check_window(length: int, config: ModelConfig) -> None:
    """Refuse a sequence longer than the positions the model knows."""
    if length > config.max_positions:
        raise ContextWindowError(
            f"{length} tokens do not fit the context window of {config.max_positions}; shorten the text"
        )
