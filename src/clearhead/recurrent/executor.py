"""The recurrent model behind the `Executor` contract, so that whatever generates runs it as it runs a Transformer.

A call goes token by token, for a state is kept after each. B rows, T new tokens, S source tokens, P vectors of a
decoder's state, H d_hidden, V vocab_size.
"""

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clearhead.calls import check_capacity, check_decoder, check_encoder, check_rows, check_window, own
from clearhead.edits import Edits
from clearhead.errors import UnsupportedError
from clearhead.executor import Cache, Floats, Memory, Tokens
from clearhead.model.devices import find
from clearhead.model.memory import cut, to_numpy
from clearhead.recurrent.cache import StateCache
from clearhead.recurrent.config import RecurrentConfig
from clearhead.recurrent.loading import build
from clearhead.recurrent.memory import RecurrentMemory
from clearhead.trace import Trace


class RecurrentExecutor:
    """One recurrent model. `device` is any torch device; `dtype` is the type of weights and arithmetic alike."""

    name = "torch"

    def __init__(
        self, config: RecurrentConfig, weights: Iterable[tuple[str, NDArray[Any]]], dtype: str, device: str
    ) -> None:
        self.config, self.dtype, self.device = config, dtype, find(device)
        self.threads = torch.get_num_threads()
        self.model = build(config, weights, dtype, device)

    def new_cache(self, rows: int, capacity: int) -> StateCache:
        """An empty cache for decoding."""
        check_capacity(capacity, self.config)
        return StateCache(rows, capacity)

    @torch.inference_mode()
    def encode(
        self,
        tokens: Tokens,
        token_types: Tokens | None = None,
        trace: Trace | None = None,
        edits: Edits | None = None,
    ) -> RecurrentMemory:
        """Run the encoder over ragged rows; it has no token types."""
        check_encoder(tokens, self.config)
        check_unwatched(trace, edits)
        check_window(max(map(len, tokens)), self.config)
        return self.model.encode(self.pad(tokens), [len(row) for row in tokens])

    @torch.inference_mode()
    def decode(
        self,
        tokens: Tokens,
        cache: Cache | None = None,
        memory: Memory | None = None,
        *,
        want: Literal["last", "all"] = "last",
        trace: Trace | None = None,
        edits: Edits | None = None,
    ) -> list[Floats]:
        """Run the decoder over new tokens; float32 logits per row (float64 where the model computes in it)."""
        check_decoder(memory is not None, self.config)
        check_unwatched(trace, edits)
        source = None if memory is None else own(memory, RecurrentMemory, self.name)
        whole = StateCache(len(tokens), max(map(len, tokens), default=0))  # where nothing is to be kept
        kept = whole if cache is None else own(cache, StateCache, self.name)
        check_rows(tokens, cache=kept.lengths, memory=None if source is None else source.lengths)
        lengths = [len(row) for row in tokens]
        if not any(lengths):
            return [np.zeros((0, self.config.vocab_size), dtype=np.float32) for _ in tokens]
        check_window(kept.check(lengths), self.config)
        states = self.run(tokens, kept, source)
        if want == "last":
            last = torch.tensor(lengths, device=self.device).clamp(min=1) - 1
            states = states[torch.arange(len(lengths), device=self.device), last][:, None]  # [B, 1, H]
            lengths = [min(n, 1) for n in lengths]
        return cut(self.model.logits(states), lengths)

    def run(self, tokens: Tokens, cache: StateCache, memory: RecurrentMemory | None) -> Tensor:
        """What the head reads of every new token [B, T, H]; the cache keeps the states after them."""
        given, after = [], []
        state = cache.last(self.model.start(len(tokens)) if memory is None else memory.start)
        for ids in self.pad(tokens).unbind(1):
            said, state = self.model.step(ids, state, memory)
            given.append(said)
            after.append(state)
        cache.append(torch.stack(after, dim=1), [len(row) for row in tokens])
        return torch.stack(given, dim=1)

    def head(self, memory: Memory, trace: Trace | None = None) -> list[Floats]:
        """Nothing.

        Raises:
            UnsupportedError: always; no recurrent model here is an encoder alone.
        """
        raise UnsupportedError("this model's head reads its decoder; a head over an encoder's states is BERT's")

    def pool(self, memory: Memory) -> Floats:
        """Nothing.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError("a recurrent model has no pooler")

    def read(self, states: Floats) -> Floats:
        """Nothing.

        Raises:
            UnsupportedError: always; states of lower layers are not made for the head.
        """
        raise UnsupportedError("the logit lens reads a Transformer's residual stream; a recurrent model has none")

    def embeddings(self) -> Floats:
        """[V, E]: the vector of every token."""
        return to_numpy(self.model.embed.weight.detach())

    def pad(self, rows: Tokens) -> Tensor:
        """Ragged rows as one tensor [B, T], filled on the right with id 0."""
        ids = np.zeros((len(rows), max(map(len, rows), default=0)), dtype=np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
        return torch.from_numpy(ids).to(self.device)


def check_unwatched(trace: Trace | None, edits: Edits | None) -> None:
    """Refuse to be looked into: every place that a trace or an edit names is one of a Transformer."""
    if trace is not None or edits is not None:
        raise UnsupportedError("traces and edits are of a Transformer; this model is recurrent")
