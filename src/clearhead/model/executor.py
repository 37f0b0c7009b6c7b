"""The torch executor: the equations of `transformer.py` behind the `Executor` contract.

Ragged rows are padded on the right for the pass and cut again on the way out. B rows, T tokens, S source tokens,
C d_model, V vocab_size.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clearhead.calls import (
    check_capacity,
    check_decoder,
    check_encoder,
    check_read,
    check_rows,
    check_watched,
    check_window,
    own,
)
from clearhead.config import ModelConfig
from clearhead.edits import Edits
from clearhead.errors import OptionError, UnsupportedError
from clearhead.executor import Cache, Floats, Memory, Tokens
from clearhead.model import gradients
from clearhead.model.cache import KVCache
from clearhead.model.devices import find
from clearhead.model.loading import build
from clearhead.model.memory import TorchMemory, cut, to_numpy
from clearhead.model.step.cache import StaticCache
from clearhead.model.step.stepper import Decoding, build_stepper
from clearhead.trace import Trace
from clearhead.trace.schema import LOGITS, StackName


class TorchExecutor:
    """One model in PyTorch. `device` is any torch device; `dtype` is the type of weights and arithmetic alike.

    `decoding` is how a call of one token per row runs: "eager" as every other call does; "static" over tensors that
    stay in place, on a GPU as one recorded launch; "compiled" that, from kernels made for this model. None chooses
    "compiled" on a GPU and "eager" elsewhere.
    """

    name = "torch"

    def __init__(
        self,
        config: ModelConfig,
        weights: Iterable[tuple[str, NDArray[Any]]],
        dtype: str,
        device: str,
        decoding: Decoding | None = None,
    ) -> None:
        self.config, self.dtype, self.device = config, dtype, find(device)
        self.threads = torch.get_num_threads()
        self.model = build(config, weights, dtype, device)
        self.stepper = build_stepper(self.model, decoding) if config.n_decoder_layers else None

    def new_cache(self, rows: int, capacity: int) -> KVCache:
        """An empty cache for decoding."""
        check_capacity(capacity, self.config)
        return KVCache(rows, capacity) if self.stepper is None else self.stepper.new_cache(rows, capacity)

    @torch.inference_mode()
    def encode(
        self,
        tokens: Tokens,
        token_types: Tokens | None = None,
        trace: Trace | None = None,
        edits: Edits | None = None,
    ) -> TorchMemory:
        """Run the encoder over ragged rows."""
        check_encoder(tokens, self.config)
        check_watched(tokens, trace, edits, self.config)
        check_window(max(map(len, tokens)), self.config)
        ids, lengths = self.pad(tokens)
        types = None if token_types is None else self.pad(token_types)[0]
        if trace is not None:
            trace.begin("encoder", first=0, new=lengths[0], dtype=self.shown_dtype)
        memory = TorchMemory(self.model.encode(ids, lengths, types, trace=trace, edits=edits), lengths)
        if edits is not None:
            self.model.project(memory, edits)
        if trace is not None:
            trace.end("encoder")
        return memory

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
        check_watched(tokens, trace, edits, self.config)
        kept = None if cache is None else own(cache, KVCache, self.name)
        source = None if memory is None else own(memory, TorchMemory, self.name)
        check_rows(tokens, cache=held(kept), memory=held(source))
        lengths = [len(row) for row in tokens]
        if not any(lengths):
            return [np.zeros((0, self.config.vocab_size), dtype=np.float32) for _ in tokens]
        check_window(max(lengths) if kept is None else kept.slots(lengths).end, self.config)
        if self.stepper and isinstance(kept, StaticCache) and trace is None and edits is None and set(lengths) == {1}:
            return cut(self.stepper([row[0] for row in tokens], kept, source)[:, None], lengths)
        ids, _ = self.pad(tokens)
        if trace is not None:
            first = 0 if kept is None else kept.lengths[0]
            among = 0 if source is None else source.lengths[0]
            trace.begin("decoder", first=first, new=lengths[0], memory=among, dtype=self.shown_dtype)
        states = self.model.decode(ids, lengths, cache=kept, memory=source, trace=trace, edits=edits)
        if trace is not None and trace.wants(LOGITS):
            logits = cut(self.model.logits(states, trace), lengths)
            trace.end("decoder")
            return logits if want == "all" else [rows[-1:] for rows in logits]
        if trace is not None:
            trace.end("decoder")
        if want == "last":
            last = torch.tensor(lengths, device=self.device).clamp(min=1) - 1
            states = states[torch.arange(len(lengths), device=self.device), last][:, None]  # [B, 1, C]
            lengths = [min(n, 1) for n in lengths]
        return cut(self.model.logits(states), lengths)

    @torch.inference_mode()
    def head(self, memory: Memory, trace: Trace | None = None) -> list[Floats]:
        """An encoder-only model's head over its states."""
        if self.model.head is None:
            raise UnsupportedError("this checkpoint has no head; it gives states and embeddings only")
        mine = own(memory, TorchMemory, self.name)
        check_watched(mine.lengths, trace, None, self.config)
        logits = self.model.logits(mine.padded, trace)
        return cut(logits, [min(n, logits.shape[1]) for n in mine.lengths])

    @torch.inference_mode()
    def pool(self, memory: Memory) -> Floats:
        """[B, C] from the pooler."""
        if self.model.pooler is None:
            raise UnsupportedError("this checkpoint has no pooler")
        return to_numpy(self.model.pool(own(memory, TorchMemory, self.name).padded))

    @torch.inference_mode()
    def read(self, states: Floats) -> Floats:
        """What the head makes of states [T, C] of any layer: logits [T, V]."""
        check_read(states, self.config)
        kept = self.model.embed.tokens.weight
        return to_numpy(self.model.read(torch.from_numpy(np.ascontiguousarray(states)).to(kept)[None])[0])

    def embeddings(self) -> Floats:
        """[V, C]: the vector of every token."""
        return to_numpy(self.model.embed.tokens.weight.detach())

    def attribute(
        self,
        tokens: Sequence[int],
        target: int,
        *,
        source: Sequence[int] | None = None,
        at: int = -1,
        method: Literal["integrated", "gradient"] = "integrated",
        steps: int = 64,
        of: Literal["logit", "logprob"] = "logprob",
    ) -> tuple[dict[str, Floats], float]:
        """How much each token spoke for `target` at position `at`: scores [T] by stack, and what they add up to."""
        ids = self.differentiated(tokens, source)
        gradients.check(self.config, len(tokens), target, at=at, method=method, steps=steps, of=of)
        with torch.inference_mode(False), torch.enable_grad():
            found, whole = gradients.attribute(self.model, ids, target, at=at, method=method, steps=steps, of=of)
        return {stack: to_numpy(scores) for stack, scores in found.items()}, whole

    def influence(self, tokens: Sequence[int], *, probes: int | None = 2) -> Floats:
        """[T, T]: how much the state at t depends on the token at s."""
        if probes is not None and probes < 1:
            raise OptionError(f"probes is {probes}; give 1 or more, or None for every direction")
        self.differentiated(tokens, tokens if self.config.kind == "encoder-decoder" else None)
        with torch.inference_mode(False), torch.enable_grad():
            return to_numpy(gradients.influence(self.model, list(tokens), probes))

    def differentiated(self, tokens: Sequence[int], source: Sequence[int] | None) -> dict[StackName, list[int]]:
        """The ids that each stack reads, where gradients through it mean something.

        Raises:
            UnsupportedError: numbers too coarse for gradients.
            OptionError, ContextWindowError: no tokens or too many, or a source missing or out of place.
        """
        if self.dtype not in ("float32", "float64"):
            raise UnsupportedError(f'gradients in {self.dtype} are too coarse; load the model with dtype="float32"')
        if self.config.kind == "encoder":
            check_encoder([tokens], self.config)
        if self.config.kind != "encoder" or source is not None:
            check_decoder(source is not None, self.config)
        ids: dict[StackName, list[int]] = {} if source is None else {"encoder": list(source)}
        ids["encoder" if self.config.kind == "encoder" else "decoder"] = list(tokens)
        for row in ids.values():
            if not row:
                raise OptionError("there is no token to look at; give at least one")
            check_window(len(row), self.config)
            if outside := [i for i in row if not 0 <= i < self.config.vocab_size]:
                raise OptionError(f"id {outside[0]} is outside the vocabulary of {self.config.vocab_size}")
        return ids

    @property
    def shown_dtype(self) -> type[np.floating[Any]]:
        """What a trace keeps: float32, unless the model computes in float64."""
        return np.float64 if self.dtype == "float64" else np.float32

    def pad(self, rows: Tokens) -> tuple[Tensor, list[int]]:
        """Ragged rows as one tensor [B, T], filled on the right with id 0, and their lengths."""
        lengths = [len(row) for row in rows]
        ids = np.zeros((len(rows), max(lengths, default=0)), dtype=np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
        return torch.from_numpy(ids).to(self.device), lengths


def held(rows: KVCache | TorchMemory | None) -> list[int] | None:
    """The lengths of the rows, where there are any."""
    return None if rows is None else rows.lengths
