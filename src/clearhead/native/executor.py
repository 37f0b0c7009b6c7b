"""The native executor: the packed weights and kernels of `src/native` behind the `Executor` contract.

B rows, T new tokens of a row, C d_model, V vocab_size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np

from clearhead.calls import (
    check_capacity,
    check_decoder,
    check_encoder,
    check_read,
    check_room,
    check_rows,
    check_watched,
    check_window,
    own,
)
from clearhead.config import ModelConfig
from clearhead.edits import Edits
from clearhead.errors import OptionError, UnsupportedError
from clearhead.executor import Cache, Floats, Memory, Tokens
from clearhead.native import _native
from clearhead.native.cache import PagedCache
from clearhead.native.capture import Capture
from clearhead.native.editing import Editing, check_outside_edits
from clearhead.native.packing import PackedWeights, unpack_rows
from clearhead.native.positions import PositionTables
from clearhead.trace import Trace
from clearhead.trace.schema import LOGITS, StackName
from clearhead.trace.trace import Span

PASS_TOKENS = 512  # of one pass through the layers: their activations stay near 10 MB, and within reach of the caches


@dataclass(frozen=True, slots=True)
class NativeMemory:
    """The encoder's output, with its keys and values for cross-attention."""

    native: _native.Memory
    d_model: int

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row."""
        return self.native.lengths

    @property
    def states(self) -> list[Floats]:
        """[S_i, C] for each row."""
        return [_native.states(self.native, row, self.d_model) for row in range(len(self.lengths))]

    def select(self, rows: Sequence[int]) -> "NativeMemory":
        """The memory of these rows, in this order."""
        held = len(self.lengths)
        if outside := [row for row in rows if not -held <= row < held]:
            raise OptionError(f"rows names {outside[0]}; the memory has rows 0 to {held - 1}")
        return NativeMemory(self.native.select([row % held for row in rows]), self.d_model)


class NativeExecutor:
    """One model on this machine's processor.

    `dtype` names what the weights are stored in; `kv` what keys and values are: "float32", "float16", "bfloat16" or
    "int8". None chooses, see `default_kv`.
    """

    name = "native"

    def __init__(
        self,
        config: ModelConfig,
        packed: PackedWeights,
        dtype: str,
        *,
        threads: int = 1,
        instruction_set: str | None = None,
        kv: str | None = None,
    ) -> None:
        self.config, self.dtype, self.packed_bytes = config, dtype, packed.size
        self.packed = packed
        self.packed_file = packed.file
        available = _native.instruction_sets()
        instruction_set = instruction_set or available[-1]
        if instruction_set not in available:
            raise OptionError(f"instruction set {instruction_set!r} is not here; choose from {', '.join(available)}")
        self.kv = kv or default_kv(config, dtype, instruction_set)
        if self.kv not in ("float32", "float16", "bfloat16", "int8"):
            raise OptionError(f"kv is {self.kv!r}; choose from float32, float16, bfloat16, int8")
        matrices = {
            name: (m.format.name, m.format.minima, m.rows, m.columns, m.format.group, m.data)
            for name, m in packed.matrices.items()
        }
        self.native = _native.Model(settings(config), matrices, dict(packed.arrays), instruction_set, threads, self.kv)
        self.threads = threads
        # What the kernels know of traces and edits, for as long as those live.
        self.captures: WeakKeyDictionary[Trace, dict[str, tuple[Span, Capture]]] = WeakKeyDictionary()
        self.editing: WeakKeyDictionary[Edits, Editing] = WeakKeyDictionary()
        self.positions = {stack: PositionTables(config, stack, packed.arrays) for stack in ("encoder", "decoder")}

    def cancel(self) -> None:
        """End the call that is under way in another thread, within a layer; it raises KeyboardInterrupt."""
        self.native.cancel()

    def new_cache(self, rows: int, capacity: int) -> PagedCache:
        """An empty cache for decoding; pages are taken as rows grow, not before."""
        check_capacity(capacity, self.config)
        return PagedCache(self.native.new_cache(rows, capacity))

    def encode(
        self,
        tokens: Tokens,
        token_types: Tokens | None = None,
        trace: Trace | None = None,
        edits: Edits | None = None,
    ) -> NativeMemory:
        """Run the encoder over ragged rows."""
        check_encoder(tokens, self.config)
        check_watched(tokens, trace, edits, self.config)
        check_window(max(map(len, tokens)), self.config)
        check_outside_edits()
        capture = self.capture(trace, "encoder", first=0, new=len(tokens[0]))
        changes = self.changes(edits, "encoder", 0)
        made: _native.Memory | None = None
        for rows in batches(tokens):
            types = [] if token_types is None else flat(token_types[rows])
            memory = self.native.encode(
                flat(tokens[rows]),
                [len(row) for row in tokens[rows]],
                types,
                self.positions["encoder"].reach(max(map(len, tokens[rows]))),
                capture,
                changes,
            )
            if memory is None:
                raise KeyboardInterrupt
            if made is None:
                made = memory
            else:
                made.extend(memory)
        if trace is not None:
            trace.end("encoder")
        assert made is not None
        return NativeMemory(made, self.config.d_model)

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
        """Run the decoder over new tokens; float32 logits per row."""
        check_decoder(memory is not None, self.config)
        check_watched(tokens, trace, edits, self.config)
        kept = None if cache is None else own(cache, PagedCache, self.name)
        source = None if memory is None else own(memory, NativeMemory, self.name)
        before = [0] * len(tokens) if kept is None else kept.lengths
        check_rows(tokens, cache=before, memory=None if source is None else source.lengths)
        ends = [held + len(row) for held, row in zip(before, tokens, strict=True)]
        if kept is not None:
            check_room(max(ends, default=0), kept.capacity)
        check_window(max(ends, default=0), self.config)
        counts = [len(row) for row in tokens]
        check_outside_edits()
        if trace is not None:
            trace.expect("decoder", counts[0])  # of all passes of this call
        if sum(counts) <= PASS_TOKENS:
            return self.step(tokens, counts, ends, kept, source, want, trace, edits)
        return self.long(tokens, kept, source, want, trace, edits)

    def step(
        self,
        tokens: Tokens,
        counts: list[int],
        ends: list[int],
        cache: PagedCache | None,
        memory: NativeMemory | None,
        want: str,
        trace: Trace | None,
        edits: Edits | None,
    ) -> list[Floats]:
        """One pass through the layers."""
        shown = trace is not None and trace.wants(LOGITS)
        every = want == "all" or shown or edits is not None  # edits of the last states are made in place, in all rows
        given = counts if every else [min(n, 1) for n in counts]
        first, held = ends[0] - counts[0], 0 if memory is None else memory.lengths[0]
        capture = self.capture(trace, "decoder", first=first, new=counts[0], memory=held)
        logits = self.room_for_logits(trace if shown and counts[0] else None, sum(given))
        if len(logits):
            done = self.native.decode(
                flat(tokens),
                counts,
                None if cache is None else cache.native,
                None if memory is None else memory.native,
                every,
                self.positions["decoder"].reach(max(ends)),
                capture,
                self.changes(edits, "decoder", first),
                logits,
            )
            if not done:
                raise KeyboardInterrupt
        found = cut(logits[:, : self.config.vocab_size], given)
        if trace is not None and counts[0]:
            trace.write(LOGITS, found[0])
            trace.end("decoder")
        if every and want == "last":
            found = [rows[-1:] for rows in found]
        return [rows.copy() for rows in found] if shown else found  # callers may write to them; the trace's stay

    def room_for_logits(self, trace: Trace | None, rows: int) -> Floats:
        """[rows, stride]: where the kernels put logits, in the trace itself if its rows are whole vectors."""
        if trace is not None and self.config.vocab_size % 16 == 0:
            return trace.rows(LOGITS, np.float32)
        return np.empty((rows, self.native.logit_stride), dtype=np.float32)

    def capture(
        self, trace: Trace | None, stack: StackName, *, first: int, new: int, memory: int = 0
    ) -> _native.Capture | None:
        """Where the kernels put what a trace wants of a call; what they do not know of is written here."""
        if trace is None or new == 0:
            return None
        span = trace.begin(stack, first=first, new=new, memory=memory)
        kept = self.captures.setdefault(trace, {})
        if stack not in kept or kept[stack][0] is not span:
            kept[stack] = span, Capture(self.native, trace, stack, span)
        if trace.wants(f"{stack}.bias"):
            trace.write(f"{stack}.bias", self.positions[stack].score_bias(first, new))
        return kept[stack][1].at(span)

    def changes(self, edits: Edits | None, stack: StackName, first: int) -> _native.Edits | None:
        """What the kernels call back for, in a call whose tokens begin at position `first`."""
        if edits is None:
            return None
        if edits not in self.editing:
            self.editing[edits] = Editing(edits)
        return self.editing[edits].at(stack, first)

    def long(
        self,
        tokens: Tokens,
        cache: PagedCache | None,
        memory: NativeMemory | None,
        want: Literal["last", "all"],
        trace: Trace | None,
        edits: Edits | None,
    ) -> list[Floats]:
        """Many tokens in several passes, which give the same numbers as one; on the way out after an error the cache is
        as it was."""
        if cache is None:
            cache = self.new_cache(len(tokens), max(map(len, tokens)))
        before, found = cache.lengths, [[np.zeros((0, self.config.vocab_size), np.float32)] for _ in tokens]
        try:
            for piece in pieces(tokens):
                counts = [len(row) for row in piece]
                ends = [held + n for held, n in zip(cache.lengths, counts, strict=True)]
                given = self.step(piece, counts, ends, cache, memory, want, trace, edits)
                for rows, logits in zip(found, given, strict=True):
                    if want == "all":
                        rows.append(logits)
                    elif len(logits):
                        rows[0] = logits
        except BaseException:
            cache.truncate(before)
            raise
        return [rows[0] if len(rows) == 1 else np.concatenate(rows) for rows in found]

    def head(self, memory: Memory, trace: Trace | None = None) -> list[Floats]:
        """An encoder-only model's head over its states."""
        if self.config.head == "none":
            raise UnsupportedError("this checkpoint has no head; it gives states and embeddings only")
        mine = own(memory, NativeMemory, self.name)
        check_watched(mine.lengths, trace, None, self.config)
        check_outside_edits()
        given = [1 if self.config.head == "sequence_labels" else n for n in mine.lengths]
        logits = np.empty((sum(given), self.native.logit_stride), dtype=np.float32)
        self.native.head(mine.native, logits)
        logits = logits[:, : len(self.config.labels) or self.config.vocab_size]
        if trace is not None:
            trace.write(LOGITS, logits)
        return cut(logits, given)

    def read(self, states: Floats) -> Floats:
        """What the head makes of states [T, C] of any layer: logits [T, V]."""
        check_read(states, self.config)
        check_outside_edits()
        logits = np.empty((len(states), self.native.logit_stride), dtype=np.float32)
        floats = np.ascontiguousarray(states, dtype=np.float32)
        for first in range(0, len(states), PASS_TOKENS):
            self.native.read(floats[first : first + PASS_TOKENS], logits[first : first + PASS_TOKENS])
        return logits[:, : len(self.config.labels) or self.config.vocab_size]

    def embeddings(self) -> Floats:
        """[V, C]: the vector of every token, in float32 as its packed type has it."""
        return unpack_rows(self.packed.matrices["embed.tokens.weight"])

    def pool(self, memory: Memory) -> Floats:
        """[B, C] from the pooler."""
        if not self.config.pooler:
            raise UnsupportedError("this checkpoint has no pooler")
        mine = own(memory, NativeMemory, self.name)
        check_outside_edits()
        C = self.config.d_model
        pooled = np.empty((len(mine.lengths), (C + 15) // 16 * 16), dtype=np.float32)
        self.native.pool(mine.native, pooled)
        return pooled[:, :C]


def default_kv(config: ModelConfig, dtype: str, instruction_set: str) -> str:
    """What keys and values are kept in: float32 beside float32 weights; else bfloat16 where it can be multiplied, or
    float16. Scores that nothing scales down (T5) are as large as what rounding does to them: they need float16's bits.
    """
    if dtype == "float32":
        return "float32"
    multiplied = instruction_set in ("amx", "avx512_bf16")
    return "bfloat16" if multiplied and config.score_scale < 1 else "float16"


def settings(config: ModelConfig) -> dict[str, Any]:
    """The fields of a configuration that the C++ reads."""
    return asdict(config) | {"score_scale": config.score_scale, "n_labels": len(config.labels)}


def flat(rows: Tokens) -> list[int]:
    """All tokens, row after row."""
    return [token for row in rows for token in row]


def cut(array: Floats, counts: Sequence[int]) -> list[Floats]:
    """[M, ...] as rows of so many each."""
    ends = accumulate(counts)
    return [array[end - n : end] for end, n in zip(ends, counts, strict=True)]


def batches(tokens: Tokens) -> Iterator[slice]:
    """Rows that go through an encoder together: at most PASS_TOKENS tokens, or one row."""
    first = size = 0
    for at, row in enumerate(tokens):
        if at > first and size + len(row) > PASS_TOKENS:
            yield slice(first, at)
            first, size = at, 0
        size += len(row)
    yield slice(first, len(tokens))


def pieces(tokens: Tokens) -> Iterator[Tokens]:
    """Rows cut so that each piece brings at most PASS_TOKENS tokens, taken in order."""
    done = [0] * len(tokens)
    while any(at < len(row) for at, row in zip(done, tokens, strict=True)):
        room, piece = PASS_TOKENS, []
        for i, row in enumerate(tokens):
            part = row[done[i] : done[i] + room]
            piece.append(part)
            room -= len(part)
            done[i] += len(part)
        yield piece
