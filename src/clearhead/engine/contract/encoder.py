"""The encoder's part of the contract: its states, and what its head makes of them, are a row's own.

S tokens of a row, C d_model, V vocab_size.
"""

from collections.abc import Callable

import numpy as np

from clearhead.engine.contract.subject import UNSEEN, Measured, Subject
from clearhead.executor import Memory
from clearhead.trace import Trace


def finite(subject: Subject) -> Measured:
    """No state may be infinite or no number."""
    wrong = sum(int((~np.isfinite(states)).sum()) for states in subject.states)
    return Measured(figure=wrong, bound=0, measures="not finite")


def varied(subject: Subject) -> Measured:
    """States that are the same at every position have lost the text."""
    flat = sum(int(np.ptp(states, axis=0).max() == 0) for states in subject.states)
    return Measured(figure=flat, bound=0, measures="texts of equal states")


def batched(subject: Subject) -> Measured:
    """Texts of unequal length in one call."""
    return subject.compared(subject.executor.encode(subject.encoded).states, subject.states)


def traced(subject: Subject) -> Measured:
    """Looking inside changes nothing."""
    if not subject.traceable:
        return UNSEEN
    trace = Trace(subject.model.config, kinds=["weights"])
    return subject.compared(subject.executor.encode([subject.encoded[0]], trace=trace).states, subject.states[:1])


def head(subject: Subject) -> Measured:
    """The head over several texts at once."""

    def run(memory: Memory) -> list[np.ndarray]:
        return subject.executor.head(memory)

    single = [run(subject.executor.encode([row]))[0] for row in subject.encoded]
    return subject.compared(run(subject.executor.encode(subject.encoded)), single)


CHECKS: dict[str, Callable[[Subject], Measured]] = {
    "encoder states are finite": finite,
    "encoder states vary": varied,
    "encoder batched = single": batched,
    "encoder traced = untraced": traced,
}
HEAD_CHECKS: dict[str, Callable[[Subject], Measured]] = {"head batched = single": head}
