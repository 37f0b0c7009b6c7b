"""The contract between everything that generates or looks, and whatever computes.

An executor holds one model's weights and works on ragged batches: row i of a call is a list of any number of new
token ids, which follow what row i of the cache already holds. So a prompt, a single decoding step, a chunk of a long
prompt and a draft to verify are the same call, and one call may mix them. Arrays that cross this border are NumPy's.

B rows of a batch, T new tokens of a row, S positions a row holds, C d_model, V vocab_size.
"""

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from clearhead.config import Architecture
from clearhead.edits import Edits
from clearhead.trace import Trace

Floats = NDArray[np.float32]
Tokens = Sequence[Sequence[int]]


class Cache(Protocol):
    """Keys and values kept between calls, for a fixed number of positions per row. Owned by the caller."""

    @property
    def capacity(self) -> int:
        """Positions a row can hold."""

    @property
    def lengths(self) -> list[int]:
        """Positions each row holds."""

    def truncate(self, lengths: Sequence[int]) -> None:
        """Rewind: forget every position of row i from lengths[i] on."""

    def select(self, rows: Sequence[int]) -> None:
        """Row i continues from old row rows[i]; rows may be repeated, dropped or reordered."""


class Memory(Protocol):
    """The encoder's output for a batch, as the executor keeps it."""

    @property
    def states(self) -> list[Floats]:
        """[S_i, C] for each row."""

    def select(self, rows: Sequence[int]) -> "Memory":
        """The memory of these rows, in this order."""


class Executor(Protocol):
    """One model, ready to run."""

    name: str  # "torch" or "native"
    dtype: str  # of the weights: "float32", "bfloat16", ...
    threads: int  # of the processor that it computes with, and that choosing tokens may use between its calls

    @property
    def config(self) -> Architecture:
        """The model's configuration."""

    def new_cache(self, rows: int, capacity: int) -> Cache:
        """An empty cache; `capacity` may not exceed config.max_positions."""

    def encode(
        self,
        tokens: Tokens,
        token_types: Tokens | None = None,
        trace: Trace | None = None,
        edits: Edits | None = None,
    ) -> Memory:
        """Run the encoder. A trace, and edits, are for one row."""

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
        """Run the decoder over new tokens; float32 logits per row: [1, V] of the last token, or [T_i, V] of all.

        A row may bring no tokens at all; it then keeps its place in the cache and gives [0, V]. Without a cache the
        rows start at position 0 and are forgotten. A trace keeps what the call shows, edits change what it computes;
        both are for one row.
        """

    def head(self, memory: Memory, trace: Trace | None = None) -> list[Floats]:
        """An encoder-only model's head over its states, per row: [S_i, V] for a masked language model,
        [S_i, labels] for token labels, [1, labels] for sequence labels."""

    def pool(self, memory: Memory) -> Floats:
        """[B, C] from the pooler of an encoder-only model."""

    def read(self, states: Floats) -> Floats:
        """What the head makes of states of any layer: [T, C] -> logits [T, V], after the last norm where norms come
        first (the logit lens: nostalgebraist 2020)."""

    def embeddings(self) -> Floats:
        """[V, C]: the vector of every token, as the model keeps it."""


@runtime_checkable
class Differentiable(Protocol):
    """An executor that can also say which tokens of the input its outputs depend on, by their gradients."""

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
        """How much each token spoke for `target`, at position `at` of `tokens`; `source` is what an encoder beside the
        decoder reads.

        Scores [T] by stack, and how far the output differs from that of the baseline, to which integrated gradients
        add up. Both are of the logit or of the log-probability.
        """

    def influence(self, tokens: Sequence[int], *, probes: int | None = 2) -> Floats:
        """[T, T]: how much the state at t, after the last layer and norm, depends on the token at s: the Frobenius norm
        of its Jacobian, estimated from `probes` random directions for each t, or exact with None. Where there is an
        encoder, its states."""
