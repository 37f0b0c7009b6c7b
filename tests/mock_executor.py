"""An executor whose logits the test chooses: a function of the ids a row has seen, and of its source where it has one.

It keeps ids where a real executor keeps keys and values, holds callers to the contract of `Executor`, and remembers
what each call brought.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clearhead.config import ModelConfig

Ids = tuple[int, ...]
Logits = Callable[[Ids, Ids], Any]  # (ids so far, source) -> logits [V] of the next token


@dataclass
class MockCache:
    capacity: int
    rows: list[list[int]]

    @property
    def lengths(self) -> list[int]:
        return [len(row) for row in self.rows]

    def truncate(self, lengths: Sequence[int]) -> None:
        assert len(lengths) == len(self.rows)
        assert all(0 <= n <= len(row) for n, row in zip(lengths, self.rows, strict=True)), (
            "truncate cannot add positions"
        )
        self.rows = [row[:n] for n, row in zip(lengths, self.rows, strict=True)]

    def select(self, rows: Sequence[int]) -> None:
        self.rows = [list(self.rows[i]) for i in rows]


@dataclass
class MockMemory:
    sources: list[Ids]

    @property
    def states(self) -> list[Any]:
        return [np.zeros((len(s), 1), np.float32) for s in self.sources]

    def select(self, rows: Sequence[int]) -> "MockMemory":
        return MockMemory([self.sources[i] for i in rows])


@dataclass
class MockExecutor:
    """`calls` holds, per call of `decode`, how many tokens each row brought."""

    config: ModelConfig
    logits: Logits
    calls: list[list[int]] = field(default_factory=list)
    name: str = "mock"
    dtype: str = "float32"
    threads: int = 1

    def new_cache(self, rows: int, capacity: int) -> MockCache:
        assert 0 < capacity <= self.config.max_positions
        return MockCache(capacity, [[] for _ in range(rows)])

    def encode(self, tokens: Any, token_types: Any = None, trace: Any = None, edits: Any = None) -> MockMemory:
        assert self.config.n_encoder_layers > 0
        return MockMemory([tuple(row) for row in tokens])

    def decode(
        self,
        tokens: Any,
        cache: Any = None,
        memory: Any = None,
        *,
        want: str = "last",
        trace: Any = None,
        edits: Any = None,
    ) -> list[Any]:
        cache = cache or self.new_cache(len(tokens), self.config.max_positions)
        assert len(tokens) == len(cache.rows), f"{len(tokens)} rows for a cache of {len(cache.rows)}"
        assert memory is None or len(memory.sources) == len(tokens), "one row of memory per row"
        sources = memory.sources if memory else [()] * len(tokens)
        self.calls.append([len(row) for row in tokens])
        return [self.feed(row, new, src, want) for row, new, src in zip(cache.rows, tokens, sources, strict=True)]

    def feed(self, row: list[int], new: Any, source: Ids, want: str) -> Any:
        assert all(type(t) is int and 0 <= t < self.config.vocab_size for t in new)
        out = np.zeros((len(new), self.config.vocab_size), np.float32)
        for i, token in enumerate(new):
            row.append(token)
            out[i] = self.logits(tuple(row), source)
        assert len(row) <= self.config.max_positions
        return out[-1:] if want == "last" else out

    def head(self, memory: Any, trace: Any = None) -> list[Any]:
        return [
            np.stack([self.logits(s[: i + 1], s) for i in range(len(s))]).astype(np.float32) for s in memory.sources
        ]

    def pool(self, memory: Any) -> Any:
        raise NotImplementedError

    def read(self, states: Any) -> Any:
        raise NotImplementedError

    def embeddings(self) -> Any:
        raise NotImplementedError


def tiny_config(vocab_size: int = 17, max_positions: int = 64, kind: str = "decoder", **choices: Any) -> ModelConfig:
    """The smallest config of a kind."""
    sizes = {"d_model": 4, "d_ff": 4, "n_heads": 1, "n_kv_heads": 1, "head_dim": 4}
    layers = {"n_encoder_layers": int(kind != "decoder"), "n_decoder_layers": int(kind != "encoder")}
    return ModelConfig(
        family="mock",
        vocab_size=vocab_size,
        max_positions=max_positions,
        position="learned",
        **sizes,
        **layers,
        **choices,
    )


def random_logits(vocab_size: int, seed: int = 0, order: int = 3, scale: float = 2.0) -> Logits:
    """Logits that are random but fixed for the last `order` ids, their source and the seed."""

    def logits(ids: Ids, source: Ids) -> Any:
        key = zlib.crc32(repr((seed, ids[-order:], source)).encode())
        return np.random.default_rng(key).normal(0, scale, vocab_size).astype(np.float32)

    return logits


def scripted(vocab_size: int, script: dict[int, int]) -> Logits:
    """After id a comes script[a], almost surely."""

    def logits(ids: Ids, _source: Ids) -> Any:
        row = np.zeros(vocab_size, np.float32)
        row[script[ids[-1]]] = 20.0
        return row

    return logits


def fixed(values: Sequence[float]) -> Logits:
    """The same logits, whatever came before."""
    row = np.asarray(values, np.float32)
    return lambda _ids, _source: row
