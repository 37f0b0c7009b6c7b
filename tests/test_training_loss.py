"""The loss over a vocabulary against torch's functions in float64: smoothing, consistency of two passes, biases, sizes
that fill no vector, on every instruction set, in chunks of every kind and on any number of threads.

N rows, C features, V vocabulary.
"""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from clearhead.training.learning import loss as losses
from clearhead.training.learning import loss_rows
from clearhead.training.learning.loss import Loss, Parts, cross_entropy
from test_training_kernels import SETS, OneSet, apart, drawn, exact

N, C = 52, 18
COSTS = [(0.0, 0.0), (0.1, 0.0), (0.1, 3.0), (0.0, 2.0)]  # smoothing, consistency
TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 3e-2}


@pytest.fixture(params=["torch", *SETS])
def instructions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """All kernels on one instruction set, or none at all."""
    use(monkeypatch, request.param)
    torch.manual_seed(0)
    return request.param


def use(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for module in (losses, loss_rows):
        monkeypatch.setattr(module, "extension", lambda: OneSet(name))
        if name == "torch":
            monkeypatch.setattr(module, "takes", lambda *_: False)
    monkeypatch.setattr(losses, "multiplies", lambda: name != "torch")


def parts_of(V: int, kind: torch.dtype, *, biased: bool = True) -> tuple[Parts, Tensor]:
    """Features in one type, with parameters as training keeps them; targets of two passes over the same rows."""
    wide = torch.float64 if kind == torch.float64 else torch.float32
    table = drawn(V, C, kind=kind).detach().to(wide).requires_grad_()  # what bfloat16 can hold, where that is used
    bias = drawn(V, kind=wide) if biased else None
    return Parts(drawn(N, C, kind=kind), table, bias), torch.randint(0, V, (N // 2,)).repeat(2)


def expected(parts: Parts, targets: Tensor, smoothing: float, consistency: float) -> Tensor:
    """The definitions, in torch's functions."""
    z = parts.features @ parts.table.T + (0 if parts.bias is None else parts.bias)
    loss = F.cross_entropy(z, targets, label_smoothing=smoothing, reduction="sum")
    if not consistency:
        return loss
    p, q = z.log_softmax(-1).chunk(2)
    both = [F.kl_div(a, b, log_target=True, reduction="sum") for a, b in ((p, q), (q, p))]
    return loss + consistency / 2 * sum(both)


@pytest.mark.parametrize("kind", TOLERANCES)
@pytest.mark.parametrize("V", [2, 16, 33, 150])
@pytest.mark.parametrize("chunk", [1, 700, 2**20])
def test_loss(instructions: str, kind: torch.dtype, V: int, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "CHUNK", chunk)
    for i, (smoothing, consistency) in enumerate(COSTS):
        parts, targets = parts_of(V, kind, biased=i % 2 == 0)
        inputs = [p for p in parts if p is not None]
        ours = cross_entropy(tuple(parts), targets, smoothing=smoothing, consistency=consistency)
        same = Parts(*(None if p is None else exact(p) for p in parts))
        theirs = expected(same, targets, smoothing, consistency)
        gradients = torch.autograd.grad(ours.objective, inputs)
        oracle = torch.autograd.grad(theirs, [p for p in same if p is not None])
        assert apart([ours.objective, *gradients], [theirs, *oracle]) < TOLERANCES[kind]
        nll = expected(same, targets, 0.0, 0.0).detach()
        assert float((ours.nll - nll).abs() / nll) < TOLERANCES[kind] / 2
        assert ours.tokens == N


@pytest.mark.parametrize("kind", TOLERANCES)
def test_only_what_learns_gets_a_gradient(instructions: str, kind: torch.dtype) -> None:
    parts, targets = parts_of(21, kind)
    whole = torch.autograd.grad(cross_entropy(tuple(parts), targets).objective, list(parts))
    for i, x in enumerate(parts):
        alone = Parts(*(p.detach().requires_grad_(p is x) for p in parts))
        [gradient] = torch.autograd.grad(cross_entropy(tuple(alone), targets).objective, alone[i])
        assert torch.equal(gradient, whole[i])


def test_upstream_gradients_scale(instructions: str) -> None:
    parts, targets = parts_of(21, torch.bfloat16)
    plain = torch.autograd.grad(cross_entropy(tuple(parts), targets).objective, list(parts))
    twice = torch.autograd.grad(cross_entropy(tuple(parts), targets).objective * 2, list(parts))
    assert all(torch.equal(2 * a, b) for a, b in zip(plain, twice, strict=True))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_threads_change_no_bit(kind: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "multiplies", lambda: True)
    torch.manual_seed(1)
    parts, targets = parts_of(150, kind)

    def run(threads: int) -> list[Tensor]:
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        loss = cross_entropy(tuple(parts), targets, smoothing=0.1, consistency=2.0)
        return [loss.objective, loss.nll, *torch.autograd.grad(loss.objective, list(parts))]

    alone = run(1)
    for threads in (2, 3):
        assert all(torch.equal(a, b) for a, b in zip(alone, run(threads), strict=True))


def test_without_gradients_nothing_but_the_loss(instructions: str) -> None:
    parts, targets = parts_of(21, torch.float32)
    with torch.no_grad():
        loss: Loss = cross_entropy(tuple(parts), targets)
    assert not loss.objective.requires_grad
    assert float(loss.objective) == pytest.approx(float(expected(parts, targets, 0.0, 0.0).detach()), rel=1e-6)


def test_no_rows_cost_nothing(instructions: str) -> None:
    parts, targets = parts_of(21, torch.bfloat16)
    few = Parts(parts.features[:0], parts.table, parts.bias)
    loss = cross_entropy(tuple(few), targets[:0], smoothing=0.1, consistency=1.0)
    assert float(loss.objective.detach()) == float(loss.nll) == loss.tokens == 0
    assert all(not g.any() for g in torch.autograd.grad(loss.objective, [parts.features, parts.table]))


@pytest.mark.parametrize("kind", TOLERANCES)
def test_memory_in_any_order_and_targets_of_any_integers(instructions: str, kind: torch.dtype) -> None:
    parts, targets = parts_of(33, kind)
    turned = Parts(*(x.detach().t().contiguous().t().requires_grad_() for x in parts))
    few = torch.stack([targets, targets], 1).int()[:, 0]
    plain, other = cross_entropy(tuple(parts), targets), cross_entropy(tuple(turned), few)
    assert torch.equal(plain.objective, other.objective)
    for a, b in zip(
        *(torch.autograd.grad(x.objective, list(p)) for x, p in ((plain, parts), (other, turned))), strict=True
    ):
        assert torch.equal(a, b)


def test_large_logits_stay_finite(instructions: str) -> None:
    z = torch.tensor([[3e4, -3e4, 0.0], [-3e4, -3e4, -3e4]])
    objective, nll = loss_rows.score(z, None, torch.tensor([0, 1]), loss_rows.Cost(), gradient=True)
    rough = 1e-3 if instructions == "torch" else 1e-6
    assert float(objective) == pytest.approx(math.log(3), rel=rough)
    assert float(nll) == pytest.approx(math.log(3), rel=rough)
    assert torch.allclose(z, torch.tensor([[0.0, 0, 0], [1 / 3, -2 / 3, 1 / 3]]), atol=1e-3)


def test_a_logit_that_is_none_shows(instructions: str) -> None:
    z = torch.zeros(2, 20)
    z[1, 3] = float("nan")
    objective, _ = loss_rows.score(z, None, torch.tensor([0, 1]), loss_rows.Cost(), gradient=True)
    assert not torch.as_tensor(objective).isfinite()


def test_targets_beyond_the_vocabulary_are_refused() -> None:
    with pytest.raises(IndexError, match="no logit stands for"):
        loss_rows.score(torch.zeros(2, 5), None, torch.tensor([0, 5]), loss_rows.Cost(), gradient=True)
