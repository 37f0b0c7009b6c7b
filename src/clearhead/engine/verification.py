"""The numerical contract, checked on one loaded model: what must not depend on how a text is fed to it, does not.

Every check measures one figure and holds it against a bound; it passes where figure <= bound. Logits are compared by
their largest relative difference. The bounds (`contract.subject.BOUNDS`) are what the order of sums may cost in a type:
about a thousand rounding errors in float32, about ten in the types of two bytes, whose errors are ten thousand times
larger.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from clearhead.checkpoints.stored import Array
from clearhead.config import ModelConfig
from clearhead.engine.contract import decoder, encoder, generation, text
from clearhead.engine.contract.subject import Measured, Subject, subject
from clearhead.engine.model import Model
from clearhead.errors import ClearheadError

Checks = dict[str, Callable[[Subject], Measured]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One promise and how it was kept. `skipped` says why it does not apply, where it does not."""

    name: str
    measures: str = ""
    figure: float = 0.0
    bound: float = 0.0
    detail: str = ""
    skipped: str = ""

    @property
    def passed(self) -> bool:
        """Whether the figure lies within its bound; a figure that is no number does not."""
        return self.figure <= self.bound


def verify(model: Model) -> Iterator[Check]:
    """Every check that applies to `model`, as soon as it is done.

    Raises:
        CheckpointError: a weight that is missing, unknown, repeated or of the wrong shape.
    """
    yield check_weights(model.checkpoint.weights())
    made = subject(model)
    for name, check in applicable(model.config).items():
        yield run(name, check, made)
    for name, check in text.CHECKS.items():
        if model.checkpoint.tokenizer is None:
            yield Check(name=name, skipped="the checkpoint came without a vocabulary")
        else:
            yield run(name, check, made)


def applicable(config: ModelConfig) -> Checks:
    """The checks for this kind of model."""
    checks: Checks = {}
    if config.kind != "decoder":
        checks |= encoder.CHECKS
    if config.kind != "encoder":
        return checks | decoder.CHECKS | generation.CHECKS
    return checks if config.head == "none" else checks | encoder.HEAD_CHECKS


def run(name: str, check: Callable[[Subject], Measured], made: Subject) -> Check:
    """One check; an error is a failure with its reason."""
    try:
        measured = check(made)
    except ClearheadError as error:
        return Check(name=name, measures="an error", figure=math.inf, detail=str(error))
    return Check(
        name=name,
        measures=measured.measures,
        figure=measured.figure,
        bound=measured.bound,
        detail=measured.detail,
        skipped=measured.skipped,
    )


def check_weights(weights: Iterable[tuple[str, Array]]) -> Check:
    """Every weight is there, which reading them proves, and every number in it is finite."""
    numbers, wrong, first = 0, 0, ""
    for name, array in weights:
        bad = int(array.size - np.isfinite(array).sum())
        numbers, wrong, first = numbers + array.size, wrong + bad, first or (name if bad else "")
    detail = f"of {numbers:,}" + (f"; the first in {first}" if first else "")
    return Check(name="weights whole and finite", measures="not finite", figure=wrong, detail=detail)
