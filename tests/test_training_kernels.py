"""Training's kernels against torch's own gradients, in float64, of the equations they stand in for: on all instruction
sets that this machine has, with sizes that fill no vector, and to the bit over threads.

B batch, T queries, S keys, H query heads, K key/value heads, D head_dim, N rows, C columns, V vocabulary.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.errors import UnsupportedError
from clearhead.model.dropout import Dropout
from clearhead.model.fused import arrays, attention, hidden, linear, sublayer
from clearhead.model.transformer import Transformer
from clearhead.native import _native
from models import BY_FAMILY

SETS = [name for name in _native.instruction_sets() if name != "portable"]  # which has none: torch is quicker
TYPES = [torch.float32, torch.bfloat16]
TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 2e-2}  # of the largest number


class OneSet:
    """The extension, with one instruction set in every call that takes any."""

    def __init__(self, name: str) -> None:
        self.name = name

    def instruction_sets(self) -> list[str]:
        return [self.name]

    def __getattr__(self, function: str) -> Callable[..., Any]:
        return lambda **arguments: getattr(_native, function)(**arguments, instruction_set=self.name)


@pytest.fixture(params=SETS)
def instructions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """All kernels on one instruction set, on one thread; products in bfloat16 whatever the set."""
    use(monkeypatch, request.param)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield request.param
    torch.set_num_threads(threads)


def use(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for module in (arrays, attention, hidden, linear, sublayer):
        monkeypatch.setattr(module, "extension", lambda: OneSet(name))
    monkeypatch.setattr(linear, "multiplies", lambda: True)


def drawn(*shape: int, kind: torch.dtype) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64).to(kind).requires_grad_()


def exact(x: Tensor) -> Tensor:
    return x.detach().double().requires_grad_(x.requires_grad)


def apart(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """The largest difference, as a share of the largest number of each tensor."""
    return max(
        float((a.detach().double() - b.detach()).abs().max() / (b.detach().abs().max() + 1e-3))
        for a, b in zip(ours, theirs, strict=True)
    )


def agree(ours: Sequence[Tensor], inputs: Sequence[Tensor], theirs: Sequence[Tensor], same: Sequence[Tensor]) -> None:
    """Outputs, and the gradients of inputs, are those of the equations in float64."""
    upstream = [torch.randn(y.shape, dtype=torch.float64).to(y.dtype) for y in ours]
    gradients = torch.autograd.grad(ours, inputs, upstream)
    expected = torch.autograd.grad(theirs, same, [g.double() for g in upstream])
    assert apart([*ours, *gradients], [*theirs, *expected]) < TOLERANCES[inputs[0].dtype]


# Attention


def attended(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, *, causal: bool, scale: float) -> Tensor:
    """Equation 1 of Vaswani et al. 2017."""
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    scores = (q * scale) @ k.mT
    if causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), float("-inf"))
    return (scores if bias is None else scores + bias).softmax(-1) @ v


def projected(B: int, T: int, heads: int, D: int, kind: torch.dtype) -> Tensor:
    """[B, heads, T, D] as it comes out of a projection: the heads of a token side by side."""
    return drawn(B, T, heads, D, kind=kind).transpose(1, 2).detach().requires_grad_()


def hiding(B: int, S: int, kind: torch.dtype) -> Tensor:
    """[B, 1, 1, S]: rows whose last keys are padding."""
    lengths = torch.tensor([S, *(max(1, S // (i + 1)) for i in range(1, B))])
    return torch.zeros(B, S, dtype=kind).masked_fill(torch.arange(S) >= lengths[:, None], float("-inf"))[:, None, None]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1, 1, 1), (2, 3, 3, 5, 7, 4), (2, 4, 2, 33, 33, 17), (1, 4, 1, 70, 70, 32)]
)
@pytest.mark.parametrize("bias", ["none", "padding", "positions"])
def test_attention(instructions: str, kind: torch.dtype, shape: tuple[int, ...], bias: str) -> None:
    B, H, K, T, S, D = shape
    q, k, v = projected(B, T, H, D, kind), projected(B, S, K, D, kind), projected(B, S, K, D, kind)
    added = {"none": None, "padding": hiding(B, S, kind), "positions": drawn(1, H, T, S, kind=kind)}[bias]
    for causal in {False, T == S}:
        assert attention.can_attend(q, k, v, added)
        ours = attention.attend(q, k, v, added, causal=causal, scale=0.7, dropout=0.0)
        inputs = [x for x in (q, k, v, added) if x is not None and x.requires_grad]
        same = [exact(x) for x in (q, k, v)] + ([] if added is None else [exact(added)])
        theirs = attended(*same[:3], same[3] if added is not None else None, causal=causal, scale=0.7)
        agree([ours], inputs, [theirs], [x for x in same if x.requires_grad])


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(("causal", "K"), [(False, 4), (True, 4), (True, 2), (False, 1)])
def test_attention_drops_the_same_weights_backwards(instructions: str, kind: torch.dtype, causal: bool, K: int) -> None:
    """With values that are unit vectors, what comes out is the weights; so the oracle can be told what was left out."""
    B, H, T = 2, 4, 37
    q, k = projected(B, T, H, T, kind), projected(B, T, K, T, kind)
    v = torch.eye(T, dtype=kind).expand(B, K, T, T).contiguous().requires_grad_()
    ours = attention.attend(q, k, v, None, causal=causal, scale=0.2, dropout=0.3)
    kept = ours.detach() != 0
    seen = torch.ones(T, T, dtype=torch.bool).tril() if causal else torch.ones(T, T, dtype=torch.bool)
    assert not kept[..., ~seen].any()
    assert 0.65 < kept[..., seen].double().mean() < 0.75
    assert not torch.equal(kept[0], kept[1])
    assert not torch.equal(kept[:, 0], kept[:, 1])
    same = [exact(x) for x in (q, k, v)]
    wide = [x.repeat_interleave(H // K, 1) for x in same[1:]]
    scores = (same[0] @ wide[0].mT * 0.2).masked_fill(~seen, float("-inf"))
    agree([ours], [q, k, v], [(scores.softmax(-1) * kept / 0.7) @ wide[1]], same)


def test_attention_with_dropout_is_attention_on_average(instructions: str) -> None:
    q, k, v = (drawn(1, 2, 9, 8, kind=torch.float32).detach() for _ in range(3))
    many = [x.expand(2000, -1, -1, -1) for x in (q, k, v)]
    left = attention.attend(*many, None, causal=True, scale=0.3, dropout=0.25)
    whole = attention.attend(q, k, v, None, causal=True, scale=0.3, dropout=0.0)
    error = left.std(0) / len(left) ** 0.5
    assert float(((left.mean(0) - whole[0]).abs() / (error + 1e-6)).max()) < 5


def test_a_row_that_sees_nothing_gives_nothing(instructions: str) -> None:
    q, k, v = (drawn(1, 1, 3, 4, kind=torch.float32) for _ in range(3))
    bias = torch.full((1, 1, 3, 3), float("-inf"))
    bias[:, :, 1:] = 0
    out = attention.attend(q, k, v, bias, causal=False, scale=1.0, dropout=0.0)
    gradients = torch.autograd.grad(out.sum(), [q, k, v])
    assert not out[0, 0, 0].any()
    assert not gradients[0][0, 0, 0].any()
    assert all(g.isfinite().all() for g in gradients)


def test_what_attention_leaves_to_torch() -> None:
    q = torch.zeros(1, 2, 3, 4)
    learnt = torch.zeros(5, 1, 1, 3, requires_grad=True)
    assert attention.can_attend(q, q, q, None)
    assert not attention.can_attend(q.double(), q.double(), q.double(), None)
    assert not attention.can_attend(q, q.bfloat16(), q, None)
    assert not attention.can_attend(q, q, q, learnt)
    assert not attention.can_attend(q, q[:, :, :0], q[:, :, :0], None)
    assert not attention.can_attend(q[:0], q[:0], q[:0], None)
    long = torch.zeros(1, 2, 1, 1).expand(1, 2, attention.LONGEST + 1, 4)
    assert attention.can_attend(q, long[:, :, 1:], long[:, :, 1:], None)
    assert not attention.can_attend(q, long, long, None)


@pytest.mark.parametrize("kind", TYPES)
def test_attention_takes_memory_in_any_order(instructions: str, kind: torch.dtype) -> None:
    """Heads apart, numbers apart, one row for all rows, and an upstream gradient that is one number."""
    B, H, T, S, D = 3, 2, 5, 6, 7
    q = drawn(B, H, D, T, kind=kind).detach().mT.requires_grad_()
    k = drawn(1, H, S, D, kind=kind).detach().expand(B, -1, -1, -1).requires_grad_()
    v = drawn(S, B, H, 2 * D, kind=kind).detach()[..., ::2].permute(1, 2, 0, 3).requires_grad_()
    bias = drawn(1, H, S, T, kind=kind).detach().mT.requires_grad_()
    same = [exact(x) for x in (q, k, v, bias)]
    ours = attention.attend(q, k, v, bias, causal=False, scale=0.5, dropout=0.0)
    theirs = attended(*same, causal=False, scale=0.5)
    agree([ours], [q, k, v, bias], [theirs], same)
    again = attention.attend(q, k, v, bias, causal=False, scale=0.5, dropout=0.0)
    [of_sum] = torch.autograd.grad(again.sum(), [v])
    [expected] = torch.autograd.grad(attended(*same, causal=False, scale=0.5).sum(), [same[2]])
    assert apart([of_sum], [expected]) < TOLERANCES[kind]


# The ends of sublayers


def norms(C: int) -> list[nn.Module]:
    made = [nn.LayerNorm(C), nn.LayerNorm(C, bias=False), nn.RMSNorm(C, eps=1e-6)]
    for norm in made:
        for p in norm.parameters():
            nn.init.normal_(p)
    return made


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("C", [16, 33, 128, 300])
def test_sum_and_norm(instructions: str, kind: torch.dtype, C: int) -> None:
    for norm in norms(C):
        x, y = drawn(5, 31, C, kind=kind), drawn(5, 31, C, kind=kind)
        twin, same = deepcopy(norm).double(), [exact(x), exact(y)]
        assert sublayer.can_join(x, y, norm)
        ours = sublayer.join(x, y, 0.0, norm)
        agree([ours], [x, y, *norm.parameters()], [twin(same[0] + same[1])], [*same, *twin.parameters()])


@pytest.mark.parametrize("kind", TYPES)
def test_a_branch_adds_the_gradients_of_both(instructions: str, kind: torch.dtype) -> None:
    for norm in norms(50):
        x = drawn(3, 47, 50, kind=kind)
        twin, same = deepcopy(norm).double(), exact(x)
        ours = sublayer.branch(x, norm)
        agree(ours, [x, *norm.parameters()], [same * 1, twin(same)], [same, *twin.parameters()])


@pytest.mark.parametrize("kind", TYPES)
def test_dropout_with_sum_and_norm(instructions: str, kind: torch.dtype) -> None:
    x, y = drawn(7, 40, kind=kind), drawn(7, 40, kind=kind)
    norm = norms(40)[0]
    torch.manual_seed(3)
    kept = sublayer.dropped(torch.ones(7, 40, dtype=kind), 0.4).double()  # the same draw: 0, or what is left's factor
    same, twin = [exact(x), exact(y)], deepcopy(norm).double()
    torch.manual_seed(3)
    agree([sublayer.join(x, y, 0.4)], [x, y], [same[0] + same[1] * kept], same)
    torch.manual_seed(3)
    ours = sublayer.join(x, y, 0.4, norm)
    agree([ours], [x, y, *norm.parameters()], [twin(same[0] + same[1] * kept)], [*same, *twin.parameters()])
    torch.manual_seed(3)
    agree([sublayer.dropped(y, 0.4)], [y], [same[1] * kept], same[1:])


@pytest.mark.parametrize("rate", [0.01, 0.3, 0.9])
def test_dropout_keeps_the_mean(instructions: str, rate: float) -> None:
    dropped = sublayer.dropped(torch.ones(500, 200), rate)
    deviation = (rate / (1 - rate) / dropped.numel()) ** 0.5
    assert abs(float(dropped.mean()) - 1) < 4 * deviation + 2e-5
    assert abs(float((dropped == 0).double().mean()) - rate) < 4 * (rate * (1 - rate) / dropped.numel()) ** 0.5
    for axis in (0, 1):  # no row and no column of them is left out more often than another
        spread = dropped.double().mean(axis).std() / (rate / (1 - rate) / dropped.shape[axis]) ** 0.5
        assert 0.8 < spread < 1.2


def test_draws_follow_torchs_generator_and_differ() -> None:
    x = torch.ones(300, 64)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, second = sublayer.dropped(x, 0.5), sublayer.dropped(x, 0.5)
    torch.set_rng_state(state)
    assert torch.equal(sublayer.dropped(x, 0.5), first)
    assert abs(float((first == second).double().mean()) - 0.5) < 0.02  # as two that know nothing of each other


def test_draws_are_the_same_on_every_instruction_set(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for name in SETS:
        use(monkeypatch, name)
        torch.manual_seed(1)
        results.append(sublayer.dropped(torch.ones(30, 45), 0.3))
    assert all(torch.equal(r, results[0]) for r in results)


@pytest.mark.parametrize("kind", TYPES)
def test_ends_of_sublayers_take_memory_in_any_order(instructions: str, kind: torch.dtype) -> None:
    norm, twin = nn.LayerNorm(33), nn.LayerNorm(33).double()
    x, y = (drawn(33, 2, 5, kind=kind).detach().permute(2, 1, 0).requires_grad_() for _ in range(2))
    same = [exact(x), exact(y)]
    agree([sublayer.join(x, y, 0.0, norm)], [x, y], [twin(same[0] + same[1])], same)
    agree([sublayer.join(x, y, 0.0)], [x, y], [same[0] + same[1]], same)
    agree(sublayer.branch(x, norm), [x], [same[0] * 1, twin(same[0])], same[:1])
    torch.manual_seed(4)
    kept = sublayer.dropped(torch.ones(5, 2, 33, dtype=kind), 0.4)
    torch.manual_seed(4)
    left = sublayer.dropped(x, 0.4)
    assert torch.equal(left != 0, kept != 0)
    assert torch.equal(torch.autograd.grad(left.sum(), x)[0], kept)


def test_what_ends_of_sublayers_leave_to_torch() -> None:
    x, norm = torch.zeros(2, 8), nn.LayerNorm(8)
    assert sublayer.can_join(x, x, norm)
    assert sublayer.can_norm(norm, x)
    assert not sublayer.can_join(x.double(), x.double(), norm)
    assert not sublayer.can_join(x, x.bfloat16())
    assert not sublayer.can_join(x, x[:1], norm)
    assert not sublayer.can_join(x[:0], x[:0], norm)
    for other in (nn.LayerNorm(8, elementwise_affine=False), nn.LayerNorm((2, 8)), nn.Identity()):
        assert not sublayer.can_norm(other, x)


# The MLP's functions

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("gated", [False, True])
def test_hidden(instructions: str, kind: torch.dtype, name: str, gated: bool) -> None:
    x = (drawn(3, 19, kind=kind) * 4).detach()
    x[0, :6] = torch.tensor([-100.0, 100.0, 1e-4, -1e-4, -9.0, 30.0])
    x.requires_grad_()
    up = drawn(3, 19, kind=kind) if gated else None
    same = [exact(x)] + ([exact(up)] if up is not None else [])
    theirs = FUNCTIONS[name](same[0]) * (same[1] if gated else 1)
    agree([hidden.activated(name, x, up)], [x] + ([up] if up is not None else []), [theirs], same)


@pytest.mark.parametrize("kind", TYPES)
def test_hidden_layers_take_memory_in_any_order(instructions: str, kind: torch.dtype) -> None:
    x, up = (drawn(19, 3, kind=kind).detach().T.requires_grad_() for _ in range(2))
    same = [exact(x), exact(up)]
    agree([hidden.activated("gelu", x, up)], [x, up], [F.gelu(same[0]) * same[1]], same)
    [of_sum] = torch.autograd.grad(hidden.activated("gelu", x).sum(), x)
    [expected] = torch.autograd.grad(F.gelu(same[0]).sum(), same[0])
    assert apart([of_sum], [expected]) < TOLERANCES[kind]


def test_what_hidden_layers_leave_to_torch() -> None:
    x = torch.zeros(2, 8)
    assert hidden.can_activate(x, x)
    assert hidden.can_activate(x, None)
    assert not hidden.can_activate(x.double(), None)
    assert not hidden.can_activate(x, x.bfloat16())
    assert not hidden.can_activate(x, x[:1])


def test_nothing_gives_nothing(instructions: str) -> None:
    for shape in ((0, 4), (4, 0)):
        x = torch.zeros(shape, requires_grad=True)
        for y in (sublayer.dropped(x, 0.5), hidden.activated("relu", x)):
            assert y.shape == torch.autograd.grad(y.sum(), x)[0].shape == shape


# Linear layers


@pytest.mark.parametrize("shape", [(1, 2, (2,)), (37, 50, (70, 34)), (300, 128, (128, 16, 128)), (130, 600, (262,))])
def test_linear_layers(instructions: str, shape: tuple[int, int, tuple[int, ...]]) -> None:
    """Gradients of parameters are those of what bfloat16 was given, summed in float32."""
    M, K, sizes = shape
    layers = [nn.Linear(K, N, bias=i % 2 == 0) for i, N in enumerate(sizes)]
    for layer in layers:
        layer.weight.data = layer.weight.data.bfloat16().float()
    x = drawn(1, M, K, kind=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert linear.can_project(x, tuple(layers))
        ours = linear.project(x, *layers)
    twins, same = [deepcopy(layer).double() for layer in layers], exact(x)
    upstream = [torch.randn(y.shape).bfloat16() for y in ours]
    parameters = [p for layer in layers for p in layer.parameters()]
    gradients = torch.autograd.grad(ours, [x, *parameters], upstream)
    theirs = [twin(same) for twin in twins]
    expected = torch.autograd.grad(
        theirs, [same, *(p for twin in twins for p in twin.parameters())], [g.double() for g in upstream]
    )
    assert apart([*ours, gradients[0]], [*theirs, expected[0]]) < 1e-2
    assert apart(gradients[1:], expected[1:]) < 1e-5


def test_what_linear_layers_leave_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "multiplies", lambda: True)
    layer, odd, watched, empty = nn.Linear(4, 4), nn.Linear(5, 4), nn.Linear(4, 4), nn.Linear(4, 2)
    empty.weight.data, empty.bias.data = empty.weight.data[:0], empty.bias.data[:0]
    watched.register_forward_hook(lambda *_: None)
    x = torch.zeros(2, 4, dtype=torch.bfloat16)
    assert not linear.can_project(x, (layer,))  # without autocast
    with torch.autocast("cpu", torch.bfloat16):
        assert linear.can_project(x, (layer,))
        assert not linear.can_project(x, (layer, watched))
        assert not linear.can_project(x, (nn.Sequential(layer),))
        assert not linear.can_project(torch.zeros(2, 5, dtype=torch.bfloat16), (odd,))
        assert not linear.can_project(x.float(), (layer,))
        assert not linear.can_project(x[:0], (layer,))
        assert not linear.can_project(x, (empty,))
        assert not linear.can_project(x, (layer.double(),))


def test_linear_layers_take_memory_in_any_order(instructions: str) -> None:
    layers = [nn.Linear(6, 4), nn.Linear(6, 2)]
    layers[1].weight.data = layers[1].weight.data.T.contiguous().T
    for layer in layers:
        layer.weight.data = layer.weight.data.bfloat16().float()
    x = drawn(6, 3, 2, kind=torch.bfloat16).detach().permute(2, 1, 0).requires_grad_()
    same, twins = exact(x), [deepcopy(layer).double() for layer in layers]
    with torch.autocast("cpu", torch.bfloat16):
        ours = linear.project(x, *layers)
        some = linear.project(x, *layers)[0]  # of which the second goes unused
    agree(ours, [x], [twin(same) for twin in twins], [same])
    one, none = torch.autograd.grad(some.sum(), [x, layers[1].weight], allow_unused=True)
    assert none is None
    assert apart([one], torch.autograd.grad(twins[0](same).sum(), [same])) < 1e-2


# All together


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("learnt", [False, True])
def test_threads_change_no_bit_of_attention(kind: torch.dtype, learnt: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether pieces are heads, or, with a bias that learns, heads of all rows."""
    q, k, v = projected(5, 70, 6, 20, kind), projected(5, 70, 2, 20, kind), projected(5, 70, 2, 20, kind)
    bias = drawn(1, 6, 70, 70, kind=kind) if learnt else None
    inputs = [x for x in (q, k, v, bias) if x is not None]

    def run(threads: int) -> list[Tensor]:
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        torch.manual_seed(2)
        out = attention.attend(q, k, v, bias, causal=True, scale=0.2, dropout=0.1)
        return [out, *torch.autograd.grad(out.float().square().sum(), inputs)]

    alone = run(1)
    for threads in (2, 3):
        assert all(torch.equal(a, b) for a, b in zip(alone, run(threads), strict=True))


def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "multiplies", lambda: True)
    layers, norm = [nn.Linear(48, 96) for _ in range(2)], nn.LayerNorm(48)
    x = drawn(9, 40, 48, kind=torch.bfloat16)
    bias = drawn(1, 4, 40, 40, kind=torch.bfloat16)

    def run(threads: int) -> list[Tensor]:
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        torch.manual_seed(2)
        with torch.autocast("cpu", torch.bfloat16):
            q, _ = linear.project(sublayer.join(x, sublayer.dropped(x, 0.2), 0.3, norm), *layers)
        heads = q.unflatten(-1, (4, 24)).transpose(1, 2)
        mixed = attention.attend(heads, heads, heads, bias, causal=True, scale=0.2, dropout=0.1)
        out = hidden.activated("gelu", mixed)
        inputs = [x, bias, layers[0].weight, layers[0].bias, *norm.parameters()]
        return [out, *torch.autograd.grad(out.float().square().sum(), inputs)]

    alone = run(1)
    for threads in (2, 3):
        assert all(torch.equal(a, b) for a, b in zip(alone, run(threads), strict=True))


def test_second_derivatives_are_refused() -> None:
    x = torch.randn(4, 16, requires_grad=True)
    with pytest.raises(UnsupportedError, match="no second derivatives"):
        torch.autograd.grad(hidden.activated("silu", x).sum(), x, create_graph=True)


def test_shapes_that_do_not_agree_are_refused() -> None:
    x, y = torch.zeros(2, 8), torch.zeros(2, 9)
    with pytest.raises(ValueError, match="do not agree"):
        sublayer.run(x=x, y=y, total=y)
    with pytest.raises(ValueError, match="do not agree"):
        sublayer.run(x=None, y=x, total=torch.zeros(8, 2).T)
    with pytest.raises(ValueError, match="float32, or bfloat16"):
        sublayer.run(x=x.double(), y=x.double(), total=x.double())
    with pytest.raises(ValueError, match="below 1"):
        sublayer.run(x=None, y=x, total=x, rate=1.0)
    with pytest.raises(ValueError, match="an activation that is known"):
        hidden.activated("softplus", x)
    q, k = torch.zeros(1, 4, 3, 8), torch.zeros(1, 2, 3, 8)
    for kv in ((k, k[:, :, 1:]), (k[:, :1, :0], k[:, :1, :0]), (torch.zeros(1, 3, 3, 8),) * 2, (k.bfloat16(), k)):
        with pytest.raises(ValueError, match=r"do not agree|at least one key|one type"):
            attention.attend(q, *kv, None, causal=False, scale=1.0, dropout=0.0)


def test_numbers_are_never_written_into_a_copy() -> None:
    """What is to be written must be as the kernels take it: a conversion would be thrown away."""
    x, weight, d_out = (torch.zeros(2, 4, dtype=torch.bfloat16) for _ in range(3))
    d_weight = torch.zeros(2, 4, dtype=torch.float64).numpy()
    with pytest.raises(TypeError, match="incompatible function arguments"):
        _native.linear_backward(  # type: ignore[attr-defined]
            d_out=arrays.array(d_out[:, :2].contiguous()),
            x=arrays.array(x),
            weight=arrays.floats(weight),
            d_x=None,
            d_weight=d_weight,
            d_bias=None,
            add=False,
            threads=1,
        )


def test_layers_without_inputs_or_outputs_are_refused() -> None:
    for M, K, N in ((2, 0, 4), (2, 4, 0)):
        x, out = (torch.zeros(M, n, dtype=torch.bfloat16) for n in (K, N))
        with pytest.raises(ValueError, match="a layer of such a size"):
            _native.linear(  # type: ignore[attr-defined]
                x=arrays.array(x), weight=arrays.array(torch.zeros(N, K)), bias=None, out=arrays.array(out), threads=1
            )


# Without an extension


@pytest.fixture
def fresh() -> Iterator[None]:
    """`extension` looks again, now and afterwards."""
    arrays.extension.cache_clear()
    yield
    arrays.extension.cache_clear()


def test_a_machine_without_vectors_is_left_to_torch(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_native, "instruction_sets", lambda: ["portable"])
    assert arrays.extension() is None
    assert not arrays.multiplies()
    assert not arrays.takes(torch.zeros(2))


def test_kernels_are_refused_without_vectors() -> None:
    x, y = (arrays.array(torch.zeros(2, 4)) for _ in range(2))
    with pytest.raises(ValueError, match="no kernels of training without vectors"):
        _native.activate_hidden(activation="relu", x=x, up=None, out=y, threads=1, instruction_set="portable")


def test_an_installation_without_the_extension_is_left_to_torch(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "clearhead.native._native", None)
    monkeypatch.delattr("clearhead.native._native")
    assert arrays.extension() is None
    assert not arrays.takes(torch.zeros(2))


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])  # of which the second has no kernels
@pytest.mark.parametrize("family", BY_FAMILY)
def test_models_learn_the_same_with_and_without_kernels(
    family: str, kind: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every architecture, with dropout at 0: what is computed in training, and all gradients."""
    config = BY_FAMILY[family]
    both = config.n_encoder_layers > 0 and config.n_decoder_layers > 0
    torch.manual_seed(0)
    model = Transformer(config).to(kind)
    for name, p in model.named_parameters():
        nn.init.normal_(p, mean=float(name.endswith("norm.weight")), std=0.2)
    ids = torch.randint(0, config.vocab_size, (3, 9))
    target = torch.randint(0, config.vocab_size, (3, 7)) if both else None

    def run() -> dict[str, Tensor]:
        states = model.states(ids, [9, 4, 7], target, dropout=Dropout())
        scored = states if target is not None else states[:, :4]  # the shortest row's: no padding
        torch.manual_seed(1)
        upstream = torch.randn(scored.shape, dtype=kind)
        found = torch.autograd.grad(scored, list(model.parameters()), upstream, allow_unused=True)
        gradients = zip(dict(model.named_parameters()), found, strict=True)
        # That of a key's bias is rounding alone, unless positions turn it: what all scores share, softmax takes away.
        return {"states": scored} | {n: g for n, g in gradients if g is not None and not n.endswith("key.bias")}

    ours = run()
    for module in (arrays, attention, hidden, linear, sublayer):
        monkeypatch.setattr(module, "extension", lambda: None)
    theirs = run()
    assert ours.keys() == theirs.keys()
    assert apart(list(ours.values()), [x.double() for x in theirs.values()]) < TOLERANCES.get(kind, 1e-12)
