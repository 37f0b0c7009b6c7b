"""Passes that are recorded by shape learn what plain ones learn. The GPU's part of it needs one; the rest does not."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from clearhead.model.dropout import Dropout
from clearhead.training.data.store import Ragged
from clearhead.training.learning.optimiser import Adam, build_optimiser
from clearhead.training.learning.recorded import OFTEN, Recorder
from clearhead.training.learning.schedules import constant
from clearhead.training.models.learners import new_model
from clearhead.training.objectives.batch import Batch
from clearhead.training.objectives.translation import Translation
from clearhead.training.recipe.architectures import ModelChoice, configure
from clearhead.training.trainer import Settings, Trainer

VOCABULARY = 40
SIZES: dict[str, Any] = {"d_model": 16, "d_ff": 32, "n_heads": 2, "n_layers": 2, "max_positions": 64}
SHAPES = ["transformer", "t5"]


class Again:
    """A recording that computes all of it once more, at addresses that stay."""

    made = 0

    def __init__(self, there: Any, inputs: Any, parameters: Any, gradients: Any) -> None:
        type(self).made += 1
        self.function, self.parameters, self.gradients = there, parameters, gradients

    def there(self, inputs: Any) -> torch.Tensor:
        self.states = self.function(*inputs)
        return self.states.detach()

    def back(self, gradient: torch.Tensor) -> None:
        found = torch.autograd.grad(self.states, self.parameters, gradient, allow_unused=True)
        for own, new in zip(self.gradients, found, strict=True):
            if new is not None:
                own.add_(new)


def sentences(seed: int) -> Ragged:
    rng = np.random.default_rng(seed)
    return Ragged.of([rng.integers(3, VOCABULARY, size=rng.integers(2, 13)).tolist() for _ in range(60)])


def trainer(architecture: str, device: str = "cpu", **settings: Any) -> Trainer:
    rows = {"source": sentences(1), "target": sentences(2)}
    config = configure(ModelChoice(architecture=architecture, **SIZES), VOCABULARY, seq2seq=True)
    model = new_model(config, 1).to(device)
    return Trainer(
        model,
        Translation(train=rows, valid=rows, start=1, pad=0, max_tokens=48, seed=3),
        build_optimiser(model, Adam(lr=0.003, eps=1e-3)),  # which a gradient of rounding errors alone does not move
        constant(0),
        Settings(steps=30, smoothing=0.1, **settings),
    )


def learnt(made: Trainer) -> torch.Tensor:
    made.run()
    return torch.cat([p.detach().flatten() for p in made.model.parameters()]).cpu()


@pytest.mark.parametrize("architecture", SHAPES)
@pytest.mark.parametrize("settings", [{}, {"consistency": 2.0, "consistency_from": 5}, {"accumulate": 2}])
def test_the_same_is_learnt(architecture: str, settings: dict[str, Any]) -> None:
    plain, watched = trainer(architecture, **settings), trainer(architecture, **settings)
    Again.made = 0
    watched.recorder = Recorder(watched.there, watched.parameters, Again)
    assert torch.allclose(learnt(plain), learnt(watched), atol=1e-3)
    assert 0 < Again.made < 30
    assert watched.progress.nll == pytest.approx(plain.progress.nll, rel=1e-5)
    assert watched.progress.tokens == plain.progress.tokens
    assert watched.progress.read == plain.progress.read


def test_only_what_comes_often_is_recorded() -> None:
    made = trainer("transformer")
    made.recorder = Recorder(made.there, made.parameters, Again)
    made.run()
    often = {shape for shape, times in made.recorder.seen.items() if times >= OFTEN}
    assert set(made.recorder.tapes) == often
    assert all(
        rows % 8 == 0 and tokens % 4 == 0 for shape in made.recorder.seen for rows, tokens in (shape[0], shape[2])
    )


def test_more_padding_changes_no_place() -> None:
    made = trainer("transformer").objective
    for rows in made.plan(0):
        batch = made.batch(rows, 0)
        roomy = batch.roomier(8, 4)
        assert torch.equal(flat(roomy, roomy.places), flat(batch, batch.places))
        assert roomy.lengths[: len(batch.ids)] == batch.lengths
        assert min(roomy.lengths) >= 1
        for first, ranks in itertools.product(range(3), (1, 2, 3)):
            if first < ranks:
                part = batch.part(first, ranks)
                assert torch.equal(flat(part, part.places), flat(batch, batch.places[kept(batch, first, ranks)]))


def flat(batch: Batch, places: torch.Tensor) -> torch.Tensor:
    """What a decoder reads at places."""
    assert batch.target is not None
    return batch.target.flatten()[places]


def kept(batch: Batch, first: int, ranks: int) -> torch.Tensor:
    """The places of every `ranks`-th row."""
    return batch.places // batch.width % ranks == first


def test_a_processor_records_nothing() -> None:
    assert trainer("transformer", record=True).recorder is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("architecture", SHAPES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_gpu_learns_the_same_from_recordings(architecture: str, precision: str) -> None:
    plain, recorded = (trainer(architecture, "cuda", precision=precision, record=record) for record in (False, True))
    tolerance = 2e-3 if precision == "float32" else 2e-2
    assert torch.allclose(learnt(plain), learnt(recorded), atol=tolerance)
    assert recorded.recorder is not None
    assert recorded.recorder.tapes


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_recordings_draw_dropout_anew() -> None:
    made = trainer("transformer", "cuda", record=True, dropout=Dropout(residual=0.5))
    made.run()
    assert made.recorder is not None
    shape, tape = next(iter(made.recorder.tapes.items()))
    inputs = (
        torch.ones(shape[0], dtype=torch.long),
        torch.full((shape[1][0],), 4),
        torch.ones(shape[2], dtype=torch.long),
    )
    first, second = (tape.there(tuple(t.cuda() for t in inputs)).clone() for _ in range(2))
    assert not torch.equal(first, second)
