"""What is learnt in the training contests: shapes, and batches of random ids, the same for every engine.

B rows, T tokens.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A model and a batch. With `source` tokens it is an encoder and a decoder, and else a decoder."""

    vocab_size: int
    d_model: int
    d_ff: int
    n_heads: int
    n_layers: int
    rows: int
    tokens: int
    source: int = 0
    dropout: float = 0.0
    smoothing: float = 0.0
    lr: float = 1e-3

    def batch(self, step: int) -> tuple[Ids | None, Ids]:
        """Sources [B, S] if there are any, and texts [B, T + 1], whose first token is given."""
        rng = np.random.default_rng(step)
        source = rng.integers(3, self.vocab_size, (self.rows, self.source)) if self.source else None
        return source, rng.integers(3, self.vocab_size, (self.rows, self.tokens + 1))


SHAPES = {
    # nanoGPT's two settings for Shakespeare's letters, and the captions of Multi30k
    "gpt": Shape(vocab_size=65, d_model=384, d_ff=1536, n_heads=6, n_layers=6, rows=8, tokens=256, dropout=0.2),
    "gpt-laptop": Shape(vocab_size=65, d_model=128, d_ff=512, n_heads=4, n_layers=4, rows=12, tokens=64),
    "translation": Shape(
        vocab_size=10_000,
        d_model=128,
        d_ff=256,
        n_heads=4,
        n_layers=4,
        rows=256,
        tokens=15,
        source=14,
        dropout=0.3,
        smoothing=0.1,
    ),
}
