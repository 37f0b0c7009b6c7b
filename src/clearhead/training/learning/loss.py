"""Cross-entropy over a vocabulary without the logits: scores, their loss and its gradients, some rows at a time.

Logits are the largest array of a training step of a small model, and a plain loss reads and writes them half a dozen
times: scores, log-softmax, loss, and the same backwards. Here each chunk of rows is scored, and its gradient formed in
place of its scores (`loss_rows`), while it lies in the processor's cache; only the gradients of features and table
leave. Label smoothing is that of Szegedy et al. 2016 (1512.00567), section 7; consistency of two passes, R-Drop: Liang
et al. 2021 (2106.14448), equation 3.

N rows that count, C features, V vocabulary.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from clearhead.model.fused.arrays import array, extension, first_order, floats, maybe, multiplies, takes
from clearhead.training.learning.loss_rows import Cost, Sums, score

CHUNK = 2**20  # logits at a time: 4 MB of float32, half of it in bfloat16, for a processor's cache
LARGE_CHUNK = 2**26  # on a GPU, whose cost is calls


class Parts(NamedTuple):
    """Logits before they are multiplied out."""

    features: Tensor  # [N, C]
    table: Tensor  # [V, C]
    bias: Tensor | None  # [V]


class Gradients(NamedTuple):
    """Those of the parts that learn."""

    features: Tensor | None
    table: Tensor | None
    bias: Tensor | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """Sums over tokens, to be divided by how many there are once all ranks' are known."""

    objective: Tensor  # what is minimised, with a gradient
    nll: Tensor  # the negative log-likelihood of the targets alone, in nats, without one
    tokens: int


def cross_entropy(
    parts: tuple[Tensor, Tensor, Tensor | None], targets: Tensor, *, smoothing: float = 0.0, consistency: float = 0.0
) -> Loss:
    """The loss of features [N, C], table [V, C] and bias [V] at targets [N].

    With `consistency`, the second half of the rows is a second pass over the first half's, and that much of the
    symmetric Kullback-Leibler divergence between the two is added.
    """
    features, table, bias = parts
    objective, nll = Fused.apply(features, table, bias, targets, smoothing, consistency)
    return Loss(objective=objective, nll=nll, tokens=len(targets))


class Fused(torch.autograd.Function):
    """Forward computes the gradients as well; backward only scales them."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        table: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        smoothing: float,
        consistency: float,
    ) -> tuple[Tensor, Tensor]:
        """Sums of the objective and of the negative log-likelihood."""
        features, table = features.detach().contiguous(), table.detach().contiguous()
        parts = Parts(features, table, None if bias is None else bias.detach().contiguous())
        learning = zip(parts, ctx.needs_input_grad[:3], strict=True)
        gradients = Gradients(*(torch.zeros_like(x) if x is not None and learns else None for x, learns in learning))
        targets = targets.long().contiguous()
        cost = Cost(smoothing=smoothing, consistency=consistency)
        sums = (in_one_call if can_in_one_call(parts) else in_chunks)(parts, targets, cost, gradients)
        objective, nll = (torch.as_tensor(x, dtype=torch.float64, device=features.device) for x in sums)
        ctx.save_for_backward(*gradients)
        ctx.mark_non_differentiable(nll)
        return objective.to(torch.promote_types(features.dtype, torch.float32)), nll

    @staticmethod
    @first_order
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Each gradient times that of the objective."""
        return (*(None if g is None else g * upstream[0].to(g.dtype) for g in ctx.saved_tensors), None, None, None)


def can_in_one_call(parts: Parts) -> bool:
    """Whether there is a kernel: of products in bfloat16 with parameters in float32."""
    kinds = parts.table.dtype, torch.float32 if parts.bias is None else parts.bias.dtype
    if parts.features.dtype != torch.bfloat16 or kinds != (torch.float32, torch.float32):
        return False
    return takes(parts.features) and multiplies() and parts.features.shape[1] % 2 == 0


def in_one_call(parts: Parts, targets: Tensor, cost: Cost, gradients: Gradients) -> Sums:
    """In C++ altogether, for bfloat16."""
    sums: Sums = extension().score_vocabulary(
        features=array(parts.features),
        table=floats(parts.table),
        bias=floats(parts.bias),
        targets=array(targets),
        d_features=maybe(gradients.features),
        d_table=maybe(gradients.table),
        d_bias=maybe(gradients.bias),
        paired=cost.consistency > 0,
        smoothing=cost.smoothing,
        consistency=cost.consistency,
        threads=torch.get_num_threads(),
    )
    return sums


def in_chunks(parts: Parts, targets: Tensor, cost: Cost, gradients: Gradients) -> Sums:
    """In torch's products, a chunk of rows at a time; two passes over the same row are in one chunk."""
    passes = 2 if cost.consistency else 1
    n, table = len(targets) // passes, parts.table.to(parts.features.dtype)  # [V, C]
    chunk = CHUNK if table.device.type == "cpu" else LARGE_CHUNK
    step = max(1, min(n, chunk // len(table) // passes))  # rows may be none: of a rank that has nothing to learn from
    logits = table.new_empty(step * passes, len(table))
    objective, nll = (torch.zeros((), dtype=torch.float64, device=table.device) for _ in range(2))
    for first in range(0, n, step):
        places = [slice(i * n + first, min(i * n + first + step, (i + 1) * n)) for i in range(passes)]
        x, y = (torch.cat([t[place] for place in places]) for t in (parts.features, targets))
        z = torch.mm(x, table.T, out=logits[: len(x)])
        sums = score(z, parts.bias, y, cost, gradient=any(g is not None for g in gradients), d_bias=gradients.bias)
        objective, nll = objective + sums[0], nll + sums[1]
        if gradients.features is not None:
            for place, rows in zip(places, z.chunk(passes), strict=True):
                torch.mm(rows, table, out=gradients.features[place])
        if gradients.table is not None:
            gradients.table.add_(z.T @ x)
    return objective, nll
