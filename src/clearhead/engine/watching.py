"""An executor with someone looking on: each of its calls is traced, or edited, or both. Whoever calls it need not know.

So the decode loop of a traced generation is the decode loop, and what a trace shows is what made the text.
"""

from typing import Literal

from clearhead.edits import Edits
from clearhead.executor import Cache, Executor, Floats, Memory, Tokens
from clearhead.trace import Trace


class WatchedExecutor:
    """`executor`, for one sequence. `caches` are those it was asked for, in order."""

    def __init__(self, executor: Executor, trace: Trace | None = None, edits: Edits | None = None) -> None:
        self.executor, self.trace, self.edits = executor, trace, edits
        self.name, self.dtype, self.threads = executor.name, executor.dtype, executor.threads
        self.config = executor.config
        self.caches: list[Cache] = []

    def new_cache(self, rows: int, capacity: int) -> Cache:
        """An empty cache, remembered."""
        self.caches.append(self.executor.new_cache(rows, capacity))
        return self.caches[-1]

    def encode(
        self,
        tokens: Tokens,
        token_types: Tokens | None = None,
        trace: Trace | None = None,
        edits: Edits | None = None,
    ) -> Memory:
        """Run the encoder."""
        return self.executor.encode(
            tokens, token_types, self.trace if trace is None else trace, self.edits if edits is None else edits
        )

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
        """Run the decoder."""
        return self.executor.decode(
            tokens,
            cache,
            memory,
            want=want,
            trace=self.trace if trace is None else trace,
            edits=self.edits if edits is None else edits,
        )

    def head(self, memory: Memory, trace: Trace | None = None) -> list[Floats]:
        """Run an encoder's head."""
        return self.executor.head(memory, self.watch(trace, None)[0])

    def watch(self, trace: Trace | None, edits: Edits | None) -> tuple[Trace | None, Edits | None]:
        """What a call is given, or else what all calls are."""
        return self.trace if trace is None else trace, self.edits if edits is None else edits

    def pool(self, memory: Memory) -> Floats:
        """Run the pooler."""
        return self.executor.pool(memory)

    def read(self, states: Floats) -> Floats:
        """Read states through the head."""
        return self.executor.read(states)

    def embeddings(self) -> Floats:
        """The vectors of all tokens."""
        return self.executor.embeddings()
