"""Clearhead's training loop, as `clearhead train` runs it."""

from dataclasses import dataclass

import numpy as np
import torch

from benchmarks import engine
from benchmarks.engine import timed
from benchmarks.engines.training_shapes import SHAPES, Shape
from clearhead.model.dropout import Dropout
from clearhead.training.learning.optimiser import Adam, build_optimiser
from clearhead.training.learning.schedules import constant
from clearhead.training.models.learners import new_model
from clearhead.training.objectives.batch import Batch
from clearhead.training.recipe.architectures import ModelChoice, configure
from clearhead.training.trainer import Settings, Trainer


@dataclass(frozen=True)
class Fixed:
    """Batches of random ids."""

    shape: Shape

    def plan(self, epoch: int) -> list[np.ndarray]:
        """A thousand batches; the rows of each are its number."""
        return [np.array([i]) for i in range(1000)]

    def batch(self, rows: np.ndarray, epoch: int) -> Batch:
        """One of them."""
        source, text = self.shape.batch(int(rows[0]))
        read, said = torch.from_numpy(text[:, :-1].copy()), torch.from_numpy(text[:, 1:].copy())
        places = torch.arange(said.numel())
        if source is None:
            return Batch(ids=read, lengths=[read.shape[1]] * len(read), places=places, labels=said.flatten())
        lengths = [source.shape[1]] * len(source)
        ids = torch.from_numpy(source)
        return Batch(ids=ids, lengths=lengths, target=read, places=places, labels=said.flatten())

    def held_out(self) -> list[Batch]:
        """None."""
        return []


class Engine(engine.Engine):
    """`model` is the name of a shape."""

    package = "torch"

    def __init__(self, model: str, threads: int, precision: str = "float32") -> None:
        super().__init__(model, threads)
        torch.set_num_threads(threads)
        s = SHAPES[model]
        choice = ModelChoice(
            architecture="transformer" if s.source else "gpt2",
            d_model=s.d_model,
            d_ff=s.d_ff,
            n_heads=s.n_heads,
            n_layers=s.n_layers,
            max_positions=max(s.tokens, s.source),
        )
        learner = new_model(configure(choice, s.vocab_size, seq2seq=bool(s.source)), seed=1)
        self.parameters = sum(p.numel() for p in learner.parameters())
        settings = Settings(
            steps=10**9,
            precision=precision,
            dropout=Dropout(embedding=s.dropout, residual=s.dropout, attention=0.0 if s.source else s.dropout),
            smoothing=s.smoothing,
        )
        adam = build_optimiser(learner, Adam(lr=s.lr))
        self.trainer = Trainer(learner, Fixed(s), adam, constant(0), settings)
        self.tokens = s.rows * s.tokens

    def facts(self) -> dict[str, object]:
        """With the size of the model."""
        return super().facts() | {"parameters": self.parameters}

    def learn(self, steps: int) -> float:
        """Tokens of the text that is said, per second."""

        def run() -> None:
            for _ in range(steps):
                self.trainer.step()

        return steps * self.tokens / timed(run)
