"""The decoder's part of the contract: however the tokens of a row come in, its logits are those of one plain pass.

T tokens of a row, S keys, V vocab_size, H heads.
"""

from collections.abc import Callable, Sequence

import numpy as np

from clearhead.engine.contract.subject import UNSEEN, Measured, Subject
from clearhead.executor import Floats
from clearhead.trace import Trace


def finite(subject: Subject) -> Measured:
    """No logit may be infinite or no number."""
    wrong = sum(int((~np.isfinite(logits)).sum()) for logits in subject.full)
    return Measured(figure=wrong, bound=0, measures="not finite")


def varied(subject: Subject) -> Measured:
    """A position whose logits are all equal says nothing: weights are missing or misread."""
    flat = sum(int((np.ptp(logits, axis=1) == 0).sum()) for logits in subject.full)
    return Measured(figure=flat, bound=0, measures="positions of constant logits")


def cached(subject: Subject) -> Measured:
    """One token at a time through the cache."""
    return piecewise(subject, [1])


def chunked(subject: Subject) -> Measured:
    """Chunks of several sizes through the cache."""
    return piecewise(subject, [3, 1, 5, 2])


def piecewise(subject: Subject, sizes: Sequence[int]) -> Measured:
    """The longest row in pieces of these sizes, again and again."""
    index = subject.longest
    row, memory = subject.rows[index], subject.memory([index])
    cache = subject.executor.new_cache(1, len(row))
    parts: list[Floats] = []
    at = 0
    while at < len(row):
        piece = row[at : at + sizes[len(parts) % len(sizes)]]
        parts.append(subject.executor.decode([piece], cache, memory, want="all")[0])
        at += len(piece)
    return subject.compared([np.concatenate(parts)], [subject.full[index]], f"{len(parts)} calls")


def rewound(subject: Subject) -> Measured:
    """Wrong tokens read, then forgotten: the row goes on as if they had never been."""
    index = subject.longest
    row, memory = subject.rows[index], subject.memory([index])
    kept = len(row) // 2
    cache = subject.executor.new_cache(1, len(row))
    wrong = [*row[:kept], *reversed(row[kept:])]
    subject.executor.decode([wrong], cache, memory)
    cache.truncate([kept])
    after = subject.executor.decode([row[kept:]], cache, memory, want="all")[0]
    return subject.compared([after], [subject.full[index][kept:]], f"back from {len(row)} tokens to {kept}")


def reordered(subject: Subject) -> Measured:
    """Rows of the cache moved, doubled and dropped, as beam search does: each goes on as itself."""
    order = [2, 0, 0]
    halves = [len(row) // 2 for row in subject.rows]
    memory = subject.memory([0, 1, 2])
    cache = subject.executor.new_cache(3, max(map(len, subject.rows)))
    subject.executor.decode([row[:n] for row, n in zip(subject.rows, halves, strict=True)], cache, memory)
    cache.select(order)
    rest = [subject.rows[i][halves[i] :] for i in order]
    moved = None if memory is None else memory.select(order)
    after = subject.executor.decode(rest, cache, moved, want="all")
    return subject.compared(after, [subject.full[i][halves[i] :] for i in order], "rows 0 1 2 became 2 0 0")


def batched(subject: Subject) -> Measured:
    """Rows of unequal length in one call."""
    together = subject.executor.decode(subject.rows, memory=subject.memory([0, 1, 2]), want="all")
    return subject.compared(together, subject.full, f"rows of {lengths(subject)} tokens")


def traced(subject: Subject) -> Measured:
    """Looking inside changes nothing."""
    if not subject.traceable:
        return UNSEEN
    logits, _ = look(subject)
    return subject.compared([logits], [subject.full[subject.longest]])


def attention_sums(subject: Subject) -> Measured:
    """Attention weights are shares: each row of them sums to 1."""
    if not subject.traceable:
        return UNSEEN
    _, trace = look(subject)
    weights = [array for path, array in trace.arrays.items() if path.endswith(".weights")]
    apart = max((float(np.abs(array.sum(axis=-1) - 1).max()) for array in weights), default=float("inf"))
    return Measured(
        figure=apart, bound=subject.bound, measures="largest distance from 1", detail=f"{len(weights)} attention maps"
    )


def look(subject: Subject) -> tuple[Floats, Trace]:
    """The longest row with its attention recorded."""
    index, trace = subject.longest, Trace(subject.model.config, kinds=["weights"])
    logits = subject.executor.decode([subject.rows[index]], memory=subject.memory([index]), want="all", trace=trace)
    return logits[0], trace


def lengths(subject: Subject) -> str:
    """Of the rows, as a list to read."""
    *most, last = (str(len(row)) for row in subject.rows)
    return f"{', '.join(most)} and {last}"


CHECKS: dict[str, Callable[[Subject], Measured]] = {
    "logits are finite": finite,
    "logits vary": varied,
    "cached = full": cached,
    "chunked = full": chunked,
    "rewound = never read": rewound,
    "reordered rows go on": reordered,
    "batched = single": batched,
    "traced = untraced": traced,
    "attention sums to 1": attention_sums,
}
