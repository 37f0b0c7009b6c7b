"""The loss on held-out data every so many steps, the best weights so far, and when it is enough."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from clearhead.errors import DivergedError
from clearhead.training.callbacks.callback import Callback
from clearhead.training.callbacks.log import JsonLog
from clearhead.training.learning.averaging import snapshot, using
from clearhead.training.trainer import Trainer

Scores = Callable[[Trainer], dict[str, float]]


class Evaluate(Callback):
    """Of the average where there is one. `patience` is how many evaluations without a better loss end the run; `scores`
    tells more of the same weights.

    The best weights are kept in memory, and in every checkpoint.
    """

    def __init__(
        self, every: int, patience: int | None, log: JsonLog | None = None, scores: Scores | None = None
    ) -> None:
        self.every, self.patience, self.log, self.scores = every, patience, log, scores
        self.scored: dict[str, float] = {}  # the newest
        self.best, self.best_step, self.last, self.last_step = math.inf, 0, math.nan, 0
        self.weights: dict[str, Tensor] = {}  # the best

    def before(self, trainer: Trainer) -> None:
        """A run that had had enough before it was broken off learns no more when it goes on."""
        self.stop_if_enough(trainer)

    def after(self, trainer: Trainer) -> None:
        """Evaluate where it is due, and at the end.

        Raises:
            DivergedError: the loss is no number; a checkpoint of such weights must not take the place of another.
        """
        step = trainer.progress.step
        if not self.due(trainer):
            return
        with using(trainer.model, averaged(trainer)):
            self.last, self.last_step = trainer.evaluate(), step
            if not math.isfinite(self.last):
                raise DivergedError(f"the loss on dev is {self.last}")
            if self.last < self.best:
                self.best, self.best_step = self.last, step
                self.weights = snapshot(trainer.model)
            self.scored = {} if self.scores is None else self.scores(trainer)
        if self.log is not None:
            p = trainer.progress
            line = {"step": step, "dev_nll": round(self.last, 5), "tokens": p.tokens, "seconds": round(p.seconds, 3)}
            self.log.write(line | ({"dev_scores": self.scored} if self.scored else {}))
        self.stop_if_enough(trainer)

    def due(self, trainer: Trainer) -> bool:
        """Whether this step is one to evaluate after."""
        step = trainer.progress.step
        return step % self.every == 0 or step == trainer.settings.steps

    @property
    def enough(self) -> bool:
        """Whether patience has run out."""
        return self.patience is not None and self.last_step - self.best_step >= self.patience * self.every

    def stop_if_enough(self, trainer: Trainer) -> None:
        """End the run, and say why."""
        if self.enough:
            trainer.stopped = f"no better loss on dev since step {self.best_step}"

    def state(self) -> dict[str, Any]:
        """The best loss, and where it was; the newest."""
        if not self.last_step:
            return {}
        return {"best": self.best, "best_step": self.best_step, "last": self.last, "last_step": self.last_step}

    def tensors(self) -> Mapping[str, Tensor]:
        """The best weights."""
        return self.weights

    def load(self, state: dict[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """As it was."""
        self.weights = dict(tensors)
        self.best, self.best_step = state["best"], state["best_step"]
        self.last, self.last_step = state["last"], state["last_step"]


def averaged(trainer: Trainer) -> dict[str, Tensor]:
    """The weights to evaluate in place of the model's own; none where nothing follows them yet."""
    return {} if trainer.average is None else trainer.average.weights
