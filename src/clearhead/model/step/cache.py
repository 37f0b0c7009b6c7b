"""Keys and values at addresses that never change, so that a recorded step can be replayed over them.

What was recorded costs more than the memory it lies in: a storage outlives its cache, and the next cache of about the
same size takes both over.

R rows, K key/value heads, S positions, D head_dim.
"""

from collections import deque
from collections.abc import Callable, Sequence
from threading import RLock

import torch
from torch import Tensor

from clearhead.model.block import CrossBlock
from clearhead.model.cache import KVCache, Pair
from clearhead.model.memory import TorchMemory
from clearhead.model.transformer import Transformer

FEWEST_KEYS = 256  # in a span; to read fewer would save next to nothing beside the weights
FREE_STORAGES = 2  # kept for caches to come


def power_of_two(n: int) -> int:
    """The smallest power of two that is not below n, which is at least 1."""
    return 1 << (n - 1).bit_length()


def roomy(capacity: int) -> int:
    """A capacity that serves for many: an eighth more at most, but for short ones."""
    step = max(power_of_two(capacity) // 8, FEWEST_KEYS)
    return -(-capacity // step) * step


class Storage:
    """The tensors of R rows of `capacity` positions, and what was recorded over them."""

    def __init__(self, model: Transformer, rows: int, capacity: int) -> None:
        assert model.decoder is not None
        self.config, self.blocks, self.like = model.config, model.decoder.layers, model.embed.tokens.weight.detach()
        self.rows, self.capacity = rows, capacity
        self.kept = self.zeros(capacity)  # by layer
        self.inputs = torch.zeros(2, rows, dtype=torch.long, device=self.like.device)  # new ids, and their positions
        self.memory = self.zeros(1)  # cross-attention's, by layer
        self.memory_lengths = torch.ones(rows, dtype=torch.long, device=self.like.device)
        self.source: TorchMemory | None = None  # what they were made of
        self.replays: dict[int, Callable[[], Tensor]] = {}  # by span

    def zeros(self, span: int) -> list[Pair]:
        """Keys and values [R, K, span, D] for each layer."""
        shape = (self.rows, self.config.n_kv_heads, span, self.config.head_dim)
        return [(self.like.new_zeros(shape), self.like.new_zeros(shape)) for _ in self.blocks]

    @property
    def memory_span(self) -> int:
        """Tokens of a memory there is room for."""
        return self.memory[0][0].shape[2]

    def span(self, length: int) -> int:
        """How many keys to read where `length` are needed: few different numbers, for there is a recording of each."""
        return min(max(power_of_two(length), FEWEST_KEYS), self.capacity)

    def write_inputs(self, ids: Sequence[int], positions: Sequence[int]) -> None:
        """The next token of the first rows; the others do as if theirs were the first token of all."""
        inputs = torch.zeros(self.inputs.shape, dtype=torch.long)
        inputs[:, : len(ids)] = torch.tensor([ids, positions])
        self.inputs.copy_(inputs)

    def remember(self, memory: TorchMemory) -> None:
        """Bring keys and values of the encoder's output to where steps read them."""
        if self.source is memory:
            return
        rows, length = memory.padded.shape[:2]
        if self.memory_span < length:
            self.memory = self.zeros(power_of_two(length))
            self.replays.clear()
        for block, kept in zip(self.blocks, self.memory, strict=True):
            assert isinstance(block, CrossBlock)
            made = memory.keys_values(block.cross_attention.path, block.cross_attention.keys_values)
            for stored, new in zip(kept, made, strict=True):
                stored[:rows, :, :length] = new
        self.memory_lengths[:rows] = torch.tensor(memory.lengths, device=self.like.device)
        self.source = memory

    def clear(self) -> None:
        """Be as new for another cache: zeros, for what is hidden from a score is still multiplied by it."""
        for keys, values in [*self.kept, *self.memory]:
            keys.zero_()
            values.zero_()

    def tensors(self) -> list[Tensor]:
        """Keys and values of self-attention, of all layers."""
        return [stored for kept in self.kept for stored in kept]


Prepare = Callable[[Storage], Storage]  # what is done to a new one


class Storages:
    """Where caches take their storage from, and leave it."""

    def __init__(self, model: Transformer, prepare: Prepare) -> None:
        self.model, self.prepare = model, prepare
        self.free: deque[Storage] = deque(maxlen=FREE_STORAGES)
        self.lock = RLock()  # a cache may be collected, and leave its storage, while another takes one

    @torch.inference_mode()  # as everything that changes it
    def take(self, rows: int, capacity: int) -> Storage:
        """A storage of zeros that holds `rows` rows of `capacity` positions."""
        rows, capacity = power_of_two(max(rows, 1)), min(roomy(capacity), self.model.config.max_positions)
        with self.lock:
            for storage in self.free:
                if (storage.rows, storage.capacity) == (rows, capacity):
                    self.free.remove(storage)
                    storage.clear()
                    return storage
        try:
            return self.prepare(Storage(self.model, rows, capacity))
        except torch.OutOfMemoryError:
            self.free.clear()
            return self.prepare(Storage(self.model, rows, capacity))

    def leave(self, storage: Storage) -> None:
        """Keep it for the next cache, in place of the one that waited longest."""
        storage.source = None  # it is the caller's
        with self.lock:
            self.free.append(storage)


class StaticCache(KVCache):
    """The first rows of a storage. Every kind of call can use it, as it can a `KVCache`."""

    def __init__(self, storages: Storages, rows: int, capacity: int) -> None:
        super().__init__(rows, capacity)
        self.storages = storages
        self.occupy(storages.take(rows, capacity))

    def occupy(self, storage: Storage) -> None:
        """Hold as many of its rows as there are lengths."""
        self.storage, rows = storage, len(self.lengths)
        self.stored = {
            f"decoder.layers.{i}.attention": (keys[:rows], values[:rows])
            for i, (keys, values) in enumerate(storage.kept)
        }

    @torch.inference_mode()
    def select(self, rows: Sequence[int]) -> None:
        """Row i continues from old row rows[i], in a larger storage where there are more than this one has."""
        if list(rows) == list(range(len(self.lengths))):
            return
        old, used = self.storage, max(self.lengths, default=0)
        new = old if len(rows) <= old.rows else self.storages.take(len(rows), self.capacity)
        index = torch.tensor(rows, dtype=torch.long, device=old.inputs.device)
        for before, after in zip(old.tensors(), new.tensors(), strict=True):
            after[: len(rows), :, :used] = before[:, :, :used][index]
        self.lengths = [self.lengths[row] for row in rows]
        self.occupy(new)
        if new is not old:
            self.storages.leave(old)

    def __del__(self) -> None:
        if hasattr(self, "storage"):
            self.storages.leave(self.storage)
