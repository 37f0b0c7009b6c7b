"""The training loop.

    batch -> loss -> gradients -> clipped, with the schedule's learning rate -> weights -> their average

and around it, in callbacks, everything that watches: a bar, a log, an evaluation, a checkpoint. The loop knows no task
and no model: an objective makes batches, and whatever offers `states` and `output` learns from them. On several
processes each runs this loop with a share of every update's rows; gradients and losses are sums over tokens, so that
what is learnt does not depend on how many there are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from clearhead.errors import DivergedError
from clearhead.model.dropout import Dropout
from clearhead.model.memory import Lengths
from clearhead.training.callbacks.callback import Callback
from clearhead.training.data.loader import Loader, Share
from clearhead.training.learning.averaging import LastAverage, MovingAverage
from clearhead.training.learning.loss import Loss, cross_entropy
from clearhead.training.learning.optimiser import scale_and_clip
from clearhead.training.learning.recorder import Recorder
from clearhead.training.learning.schedules import Schedule
from clearhead.training.objectives.batch import Batch, Objective, dealt
from clearhead.training.ranks.parallel import Parallel


class Trainable(Protocol):
    """What the loop asks of a model, which is also an nn.Module."""

    def states(
        self, ids: Tensor, lengths: Lengths, target: Tensor | None = None, *, dropout: Dropout | None = None
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
    consistency_from: int = 0  # the step it begins with
    clip: float | None = 1.0
    seed: int = 0  # of what one rank draws and no other does


@dataclass(slots=True)
class Progress:
    """What a run has done so far, on all ranks together."""

    step: int = 0
    tokens: int = 0  # scored
    read: int = 0  # read by the model, padding left out
    seconds: float = 0.0  # of steps, without evaluations and checkpoints
    nll: float = float("nan")  # of the last step, per token
    gradient: float = float("nan")  # its length before clipping
    lr: float = 0.0


class Trainer:
    """One run. `average` is what follows the weights, if anything does; `parallel`, who computes with whom; `recorder`,
    what replays the passes of shapes that come often."""

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
        parallel: Parallel | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.model, self.objective, self.optimiser, self.schedule = model, objective, optimiser, schedule
        self.settings, self.average, self.callbacks = settings, average, callbacks
        self.parallel = parallel or Parallel()
        self.ranks = self.parallel.ranks
        self.loader = Loader(objective.plan, rank=self.ranks.rank, world=self.ranks.world)
        self.progress = Progress()
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.device = self.parameters[0].device
        self.stopped = ""  # why, where a callback ended the run early
        self.recorder = recorder
        if self.ranks.world > 1:
            self.ranks.seed(settings.seed, 0)

    def run(self) -> None:
        """Step until all steps are done, or a callback has had enough.

        Raises:
            DivergedError: a loss or a gradient that is no number.
            TrainingError: a rank that was lost.
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
        shares = self.loader.update(self.settings.accumulate)
        learnt = [self.learn(share, last=share is shares[-1]) for share in shares]
        objective, nll, tokens, read = self.ranks.sums(*totals(learnt))
        if not math.isfinite(objective):
            raise DivergedError(f"the loss is {objective}")
        self.apply(tokens)
        done = self.progress
        done.nll = nll / tokens
        done.tokens += int(tokens)
        done.read += int(read)
        done.step += 1
        done.seconds += perf_counter() - began

    def learn(self, share: Share, *, last: bool) -> tuple[Loss, int]:
        """The gradients of a share of a batch, added to those there are: its loss, and how many tokens were read.
        With the last of an update, ranks add up theirs."""
        batch = self.objective.batch(share.rows, share.epoch).part(share.first, share.ranks)
        passes = batch.twice() if self.consistency else batch
        if self.recorder is not None:
            return self.recorder.learn(passes, partial(self.states, self.settings.dropout), self.cost), batch.read
        with self.parallel.adding(last):
            loss = self.parallel.loss(self.loss, passes.to(self.device), self.settings.dropout)
            loss.objective.backward()
        return loss, batch.read

    def loss(self, batch: Batch, dropout: Dropout | None) -> Loss:
        """Of one batch; without dropout, as it is evaluated."""
        if dropout is not None:
            return self.cost(self.states(dropout, batch.ids, batch.lengths, batch.target), batch)
        model = cast(Trainable, self.model)
        states = model.states(batch.ids, batch.lengths, batch.target)
        return cross_entropy(model.output(scored(states, batch)), batch.labels)

    def states(self, dropout: Dropout, ids: Tensor, lengths: Lengths, target: Tensor | None) -> Tensor:
        """What the loss to learn from reads of a batch [B, T, C]."""
        with self.arithmetic():
            return cast(Trainable, self.model).states(ids, lengths, target, dropout=dropout)

    def cost(self, states: Tensor, batch: Batch) -> Loss:
        """The loss to learn from of what the model made of a batch."""
        with self.arithmetic():
            parts = cast(Trainable, self.model).output(scored(states, batch))
        return cross_entropy(parts, batch.labels, smoothing=self.settings.smoothing, consistency=self.consistency)

    def arithmetic(self) -> torch.autocast:
        """Around what is computed to learn from."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16")

    @property
    def consistency(self) -> float:
        """R-Drop's weight at this step."""
        return self.settings.consistency if self.progress.step >= self.settings.consistency_from else 0.0

    def apply(self, tokens: float) -> None:
        """Move the weights along the gradients, which are sums over `tokens` of all ranks."""
        done, scale = self.progress, self.parallel.parts / tokens
        done.gradient = scale_and_clip(self.parameters, scale, self.settings.clip, self.parallel.length)
        factor = self.schedule(done.step)
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * factor
        done.lr = self.optimiser.param_groups[0]["lr"]
        self.optimiser.step()
        self.forget()
        if self.average is not None:
            self.average.update(self.model, done.step)

    def forget(self) -> None:
        """Begin a new sum of gradients."""
        if self.recorder is None:
            self.optimiser.zero_grad(set_to_none=True)
        else:
            self.recorder.forget()

    @torch.no_grad()
    def evaluate(self) -> float:
        """The negative log-likelihood per token of the held-out data, in float32 and without dropout."""
        self.model.eval()
        batches = dealt(self.objective.held_out(), self.ranks.rank, self.ranks.world)
        losses = [(self.parallel.loss(self.loss, batch.to(self.device), None), batch.read) for batch in batches]
        self.model.train()
        _, nll, tokens, _ = self.ranks.sums(*totals(losses))
        return nll / tokens


def scored(states: Tensor, batch: Batch) -> Tensor:
    """The states of the places that count [N, C], of all [B, T, C]."""
    return states.flatten(0, 1).index_select(0, batch.places)


def totals(losses: Sequence[tuple[Loss, int]]) -> tuple[float, float, int, int]:
    """Sums of the objective, of the negative log-likelihood, of tokens scored and of tokens read."""
    return (
        sum(float(loss.objective.detach()) for loss, _ in losses),
        sum(float(loss.nll) for loss, _ in losses),
        sum(loss.tokens for loss, _ in losses),
        sum(read for _, read in losses),
    )
