"""Passes that are recorded by shape learn what plain ones learn. Here calls are replayed one by one (`replays`); a GPU
replays graphs, where there is one."""

import itertools
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from clearhead.errors import ConfigError  # noqa: E402
from clearhead.model.dropout import Dropout  # noqa: E402
from clearhead.training.data.store import Ragged  # noqa: E402
from clearhead.training.learning.averaging import MovingAverage, using  # noqa: E402
from clearhead.training.learning.optimiser import Adam, build_optimiser  # noqa: E402
from clearhead.training.learning.recorder import OFTEN, Recorder, add_gradients  # noqa: E402
from clearhead.training.learning.schedules import constant  # noqa: E402
from clearhead.training.models.learners import new_model  # noqa: E402
from clearhead.training.objectives.batch import Batch  # noqa: E402
from clearhead.training.objectives.causal import Causal  # noqa: E402
from clearhead.training.objectives.masked import Masked  # noqa: E402
from clearhead.training.objectives.translation import Translation  # noqa: E402
from clearhead.training.recipe.architectures import ModelChoice, configure  # noqa: E402
from clearhead.training.recipe.recipe import read_recipe  # noqa: E402
from clearhead.training.trainer import Settings, Trainer  # noqa: E402
from replays import Recording  # noqa: E402

VOCABULARY = 40
SIZES: dict[str, Any] = {"d_model": 16, "d_ff": 32, "n_heads": 2, "n_layers": 2, "max_positions": 64}
FAMILIES = ["transformer", "t5", "bert", "gpt2", "llama", "bloom", "palm"]
SETTINGS: list[dict[str, Any]] = [{}, {"consistency": 2.0, "consistency_from": 5}, {"accumulate": 2}]


class Replayed:
    """In the place of two CUDA graphs: the calls of a pass there and back, and no Python between them."""

    def __init__(self, states: Any, inputs: Any, weights: Any) -> None:
        self.inputs = tuple(x.clone() if isinstance(x, torch.Tensor) else x for x in inputs)
        self.forward_graph = Recording(lambda: states(*self.inputs))
        self.given = self.forward_graph.output.detach()
        self.gradient = torch.zeros_like(self.given)
        before = [g.clone() for g in weights.gradients]
        self.backward_graph = Recording(lambda: add_gradients(self.forward_graph.output, self.gradient, weights))
        torch._foreach_copy_(weights.gradients, before)

    @torch.no_grad()
    def forward(self, inputs: Any) -> torch.Tensor:
        for own, new in zip(self.inputs, inputs, strict=True):
            if isinstance(own, torch.Tensor):
                own.copy_(new)
        self.forward_graph.replay()
        return self.given

    @torch.no_grad()
    def backward(self, gradient: torch.Tensor) -> None:
        self.gradient.copy_(gradient)
        self.backward_graph.replay()


def sentences(seed: int) -> Ragged:
    rng = np.random.default_rng(seed)
    return Ragged.of([rng.integers(3, VOCABULARY, size=rng.integers(2, 13)).tolist() for _ in range(60)])


def objective(family: str) -> Any:
    """Sentences for a model with an encoder and a decoder; for the others windows, an uneven last one included."""
    if family in ("transformer", "t5"):
        rows = {"source": sentences(1), "target": sentences(2)}
        return Translation(train=rows, valid=rows, start=1, pad=0, max_tokens=48, seed=3)
    text = np.random.default_rng(1).integers(3, VOCABULARY, size=400).astype(np.int32)
    windows: dict[str, Any] = {"train": text, "valid": text[:60], "context": 12, "rows": 3, "seed": 3}
    if family == "bert":
        ordinary = np.arange(3, VOCABULARY, dtype=np.int32)
        return Masked(**windows, share=0.3, first=0, last=1, mask=2, ordinary=ordinary)
    return Causal(**windows)


def trainer(family: str, device: str = "cpu", *, recorded: bool = False, **settings: Any) -> Trainer:
    choice = ModelChoice(architecture=family, **SIZES)  # type: ignore[arg-type]
    model = new_model(configure(choice, VOCABULARY, seq2seq=family in ("transformer", "t5")), 1).to(device)
    if device == "cpu":
        model.double()  # a GPU's path: for less there are kernels, whose calls torch does not see
    parameters = [p for p in model.parameters() if p.requires_grad]
    return Trainer(
        model,
        objective(family),
        build_optimiser(model, Adam(lr=0.003, eps=1e-3)),  # which rounding errors alone do not move
        constant(0),
        Settings(steps=30, smoothing=0.1, **settings),
        average=MovingAverage(model, 0.9),
        recorder=Recorder(parameters, None if device == "cuda" else Replayed) if recorded else None,
    )


def learnt(made: Trainer) -> torch.Tensor:
    """All weights after some steps, between which the average is evaluated."""
    while made.progress.step < made.settings.steps:
        made.step()
        if made.progress.step % 4 == 0:
            assert made.average is not None
            with using(made.model, made.average.weights):
                made.evaluate()
    return torch.cat([p.detach().flatten() for p in made.model.parameters()]).cpu()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_same_is_learnt(family: str, settings: dict[str, Any]) -> None:
    plain, replayed = trainer(family, **settings), trainer(family, recorded=True, **settings)
    assert torch.allclose(learnt(plain), learnt(replayed), atol=1e-6)
    assert replayed.progress.nll == pytest.approx(plain.progress.nll, rel=1e-5)
    assert replayed.progress.tokens == plain.progress.tokens
    assert replayed.progress.read == plain.progress.read
    assert replayed.recorder is not None
    assert sum(pair.forward_graph.replays for pair in replayed.recorder.graphs.values()) > 5  # type: ignore[attr-defined]


def test_only_what_comes_often_is_recorded() -> None:
    made = trainer("transformer", recorded=True)
    learnt(made)
    assert made.recorder is not None
    often = {shape for shape, times in made.recorder.seen.items() if times >= OFTEN}
    assert set(made.recorder.graphs) == often
    read = [shape[side] for shape in made.recorder.seen for side in (0, 2)]
    assert all(rows % 8 == 0 and tokens % 4 == 0 for rows, tokens in read)


def test_what_there_is_no_room_for_is_learnt_plainly() -> None:
    plain, full = trainer("transformer"), trainer("transformer")
    full.recorder = Recorder(full.parameters, lambda *_: None)
    assert torch.allclose(learnt(plain), learnt(full), atol=1e-6)
    assert full.recorder.crowded and not full.recorder.graphs


def test_more_padding_moves_no_place() -> None:
    task = objective("transformer")
    for rows in task.plan(0):
        batch = task.batch(rows, 0)
        roomy = batch.roomier(8, 4)
        assert torch.equal(read_at(roomy, roomy.places), read_at(batch, batch.places))
        assert roomy.lengths[: len(batch.ids)] == batch.lengths
        assert min(roomy.lengths) >= 1
        for ranks, first in itertools.product((1, 2, 3), range(3)):
            if first < ranks:
                part, own = batch.part(first, ranks), batch.places // batch.width % ranks == first
                assert torch.equal(read_at(part, part.places), read_at(batch, batch.places[own]))


def read_at(batch: Batch, places: torch.Tensor) -> torch.Tensor:
    """What a decoder reads at places."""
    assert batch.target is not None
    return batch.target.flatten()[places]


def test_keys_that_contradict_each_other() -> None:
    for other in ("compile", "recompute"):
        with pytest.raises(ConfigError, match=r"training\.record records what compile and recompute change"):
            read_recipe("gpt-shakespeare-char", ["training.record=true", f"training.{other}=true"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_gpu_learns_the_same_from_recordings(family: str, settings: dict[str, Any]) -> None:
    plain, recorded = (trainer(family, "cuda", recorded=each, **settings) for each in (False, True))
    assert torch.allclose(learnt(plain), learnt(recorded), atol=3e-3)
    assert recorded.recorder is not None
    assert any(recorded.recorder.graphs.values())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_recordings_draw_dropout_anew() -> None:
    made = trainer("transformer", "cuda", recorded=True, precision="bfloat16", dropout=Dropout(residual=0.5))
    learnt(made)
    assert made.recorder is not None
    (ids, _, target), graphs = next((s, t) for s, t in made.recorder.graphs.items() if t is not None and s[1])
    read, said = (torch.ones(shape, dtype=torch.long, device="cuda") for shape in (ids, target))
    lengths = torch.full((len(read),), 2, device="cuda")
    first, second = (graphs.forward((read, lengths, said)).clone() for _ in range(2))
    assert not torch.equal(first, second)
