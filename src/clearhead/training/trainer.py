"""The training loop.

    batch -> loss -> gradients -> clipped, with the schedule's learning rate -> weights -> their average

and around it, in callbacks, everything that watches: a bar, a log, an evaluation, a checkpoint. The loop knows no task
and no model: an objective makes batches, and whatever offers `states` and `output` learns from them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Protocol

import torch
from torch import Tensor, nn

from clearhead.errors import TrainingError
from clearhead.model.dropout import Dropout
from clearhead.training.averaging import LastAverage, MovingAverage
from clearhead.training.callbacks.callback import Callback
from clearhead.training.data.loader import Loader
from clearhead.training.loss import Loss, cross_entropy
from clearhead.training.objectives.batch import Batch, Objective
from clearhead.training.optimiser import scale_and_clip
from clearhead.training.schedules import Schedule


class Trainable(Protocol):
    """What the loop asks of a model, which is also an nn.Module."""

    def states(
        self, ids: Tensor, lengths: list[int], target: Tensor | None = None, *, dropout: Dropout | None = None
    ) -> Tensor:
        """What the head reads: [B, T, C] of the target where there is one, else of ids."""

    def output(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Features [N, C], their table [V, C] and a bias [V], which make logits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How a run learns."""

    steps: int
    accumulate: int = 1  # batches of one step
    precision: str = "float32"  # or "bfloat16": of the arithmetic; weights and their sums stay float32
    dropout: Dropout = field(default_factory=Dropout)
    smoothing: float = 0.0
    consistency: float = 0.0  # R-Drop's weight; 0: one pass
    clip: float | None = 1.0


@dataclass(slots=True)
class Progress:
    """What a run has done so far."""

    step: int = 0
    tokens: int = 0  # scored
    read: int = 0  # read by the model, padding left out
    seconds: float = 0.0  # of steps, without evaluations and checkpoints
    nll: float = float("nan")  # of the last step, per token
    gradient: float = float("nan")  # its length before clipping
    lr: float = 0.0


class Trainer:
    """One run. `average` is what follows the weights, if anything does."""

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        optimiser: torch.optim.Optimizer,
        schedule: Schedule,
        settings: Settings,
        *,
        average: MovingAverage | LastAverage | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.model, self.objective, self.optimiser, self.schedule = model, objective, optimiser, schedule
        self.settings, self.average, self.callbacks = settings, average, callbacks
        self.loader, self.progress = Loader(objective.plan), Progress()
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.device = self.parameters[0].device
        self.stopped = ""  # why, where a callback ended the run early

    def run(self) -> None:
        """Step until all steps are done, or a callback has had enough.

        Raises:
            TrainingError: a loss or a gradient that is no number.
        """
        self.model.train()
        for callback in self.callbacks:
            callback.before(self)
        try:
            while self.progress.step < self.settings.steps and not self.stopped:
                self.step()
                for callback in self.callbacks:
                    callback.after(self)
        finally:
            for callback in self.callbacks:
                callback.end(self)

    def step(self) -> None:
        """One update of the weights."""
        began = perf_counter()
        losses = [self.learn() for _ in range(self.settings.accumulate)]
        tokens = sum(loss.tokens for loss in losses)
        self.apply(tokens)
        done = self.progress
        done.nll = sum(float(loss.nll) for loss in losses) / tokens
        done.tokens += tokens
        done.step += 1
        done.seconds += perf_counter() - began

    def learn(self) -> Loss:
        """The gradients of one batch, added to those there are."""
        epoch, rows = next(self.loader)
        batch = self.objective.batch(rows, epoch).to(self.device)
        self.progress.read += batch.read
        if self.settings.consistency:
            batch = batch.twice()
        loss = self.loss(batch, self.settings.dropout)
        if not torch.isfinite(loss.objective):
            raise TrainingError(f"the loss is {float(loss.objective.detach())} at step {self.progress.step}")
        loss.objective.backward()
        return loss

    def loss(self, batch: Batch, dropout: Dropout | None) -> Loss:
        """Of one batch; without dropout, as it is evaluated."""
        fewer = self.settings.precision == "bfloat16" and dropout is not None
        with torch.autocast(self.device.type, torch.bfloat16, enabled=fewer):
            states = self.model.states(batch.ids, batch.lengths, batch.target, dropout=dropout)
            parts = self.model.output(states[batch.scored])
        if dropout is None:
            return cross_entropy(parts, batch.labels)
        s = self.settings
        return cross_entropy(parts, batch.labels, smoothing=s.smoothing, consistency=s.consistency)

    def apply(self, tokens: int) -> None:
        """Move the weights along the gradients, which are sums over `tokens`."""
        done = self.progress
        done.gradient = scale_and_clip(self.parameters, 1 / tokens, self.settings.clip)
        factor = self.schedule(done.step)
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * factor
        done.lr = self.optimiser.param_groups[0]["lr"]
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.model, done.step)

    @torch.no_grad()
    def evaluate(self) -> float:
        """The negative log-likelihood per token of the held-out data, in float32 and without dropout."""
        self.model.eval()
        losses = [self.loss(batch.to(self.device), None) for batch in self.objective.held_out()]
        self.model.train()
        return sum(float(loss.nll) for loss in losses) / sum(loss.tokens for loss in losses)
