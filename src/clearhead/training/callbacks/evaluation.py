"""The loss on held-out data every so many steps, the best weights so far, and when it is enough."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from clearhead.training.averaging import using
from clearhead.training.callbacks.callback import Callback
from clearhead.training.callbacks.log import JsonLog
from clearhead.training.trainer import Trainer


class Evaluate(Callback):
    """Of the average where there is one. `patience` is how many evaluations without a better loss end the run."""

    def __init__(self, every: int, patience: int | None, log: JsonLog | None = None) -> None:
        self.every, self.patience, self.log = every, patience, log
        self.best, self.best_step, self.last = math.inf, 0, math.nan
        self.weights: dict[str, Tensor] = {}  # the best

    def after(self, trainer: Trainer) -> None:
        """Evaluate where it is due, and at the end."""
        step = trainer.progress.step
        if step % self.every and step != trainer.settings.steps:
            return
        weights = averaged(trainer)
        with using(trainer.model, weights):
            self.last = trainer.evaluate()
            if self.last < self.best:
                self.best, self.best_step = self.last, step
                self.weights = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
        if self.log is not None:
            self.log.write({"step": step, "dev_nll": round(self.last, 5), "seconds": round(trainer.progress.seconds, 3)})
        if self.patience is not None and step - self.best_step >= self.patience * self.every:
            trainer.stopped = f"no better loss on dev since step {self.best_step}"

    def state(self) -> dict[str, Any]:
        """The best loss, and where it was."""
        return {"best": self.best, "best_step": self.best_step, "last": self.last}

    def tensors(self) -> Mapping[str, Tensor]:
        """The best weights."""
        return self.weights

    def load(self, state: dict[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """As it was."""
        self.weights = dict(tensors)
        self.best, self.best_step, self.last = state["best"], state["best_step"], state["last"]


def averaged(trainer: Trainer) -> dict[str, Tensor]:
    """The weights to evaluate in place of the model's own; none where nothing follows them yet."""
    return {} if trainer.average is None else trainer.average.weights
