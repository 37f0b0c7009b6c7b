"""Cross-entropy over a vocabulary without the logits: scores, their loss and its gradients, a few hundred rows at a time.

Logits are the largest array of a training step of a small model, and a plain loss reads and writes them half a dozen
times: scores, log-softmax, loss, and the same backwards. Here each chunk of rows is scored, and its gradient formed in
place of its scores (`loss_rows`), while it lies in the processor's cache; only the gradients of features and table leave.
Label
smoothing is that of Szegedy et al. 2016 (1512.00567), section 7; consistency of two passes, R-Drop: Liang et al. 2021
(2106.14448), equation 3.

N rows that count, C features, V vocabulary.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from clearhead.training.loss_rows import Cost, score

CHUNK = 2**20  # logits at a time: 4 MB of float32, half of it in bfloat16


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
        work = Work((features, table, bias), targets, Cost(smoothing=smoothing, consistency=consistency), ctx)
        for first in range(0, work.rows, work.step):
            work.add(first, min(first + work.step, work.rows))
        ctx.save_for_backward(work.d_features, work.d_table, work.d_bias)
        objective = work.objective.to(torch.promote_types(features.dtype, torch.float32))
        ctx.mark_non_differentiable(work.nll)
        return objective, work.nll

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Each gradient times that of the objective."""
        return (*(None if g is None else g * upstream[0].to(g.dtype) for g in ctx.saved_tensors), None, None, None)


class Work:
    """What the chunks of rows add to. Two passes over the same row are in one chunk."""

    def __init__(self, parts: tuple[Tensor, Tensor, Tensor | None], targets: Tensor, cost: Cost, ctx: Any) -> None:
        self.features, table, self.bias = (None if x is None else x.detach() for x in parts)
        features, self.targets, self.cost = self.features, targets, cost
        self.table = table.to(features.dtype)  # [V, C]
        of_features, of_table, of_bias = ctx.needs_input_grad[:3]
        self.passes = 2 if cost.consistency else 1
        self.rows = len(targets) // self.passes
        self.step = max(1, CHUNK // len(table) // self.passes)
        self.d_features = torch.empty_like(features) if of_features else None
        self.d_table = torch.zeros_like(table) if of_table else None
        self.d_bias = torch.zeros_like(self.bias) if of_bias else None
        self.logits = features.new_empty(min(self.step, self.rows) * self.passes, len(table))
        self.objective = torch.zeros((), dtype=torch.float64, device=features.device)
        self.nll = torch.zeros((), dtype=torch.float64, device=features.device)

    def add(self, first: int, last: int) -> None:
        """Score some rows and add what they give."""
        places = [slice(i * self.rows + first, i * self.rows + last) for i in range(self.passes)]
        x, targets = (torch.cat([t[p] for p in places]) for t in (self.features, self.targets))
        z = torch.mm(x, self.table.T, out=self.logits[: len(x)])  # [n, V]
        wanted = self.d_features is not None or self.d_table is not None or self.d_bias is not None
        objective, nll = score(z, self.bias, targets, self.cost, gradient=wanted, d_bias=self.d_bias)
        self.objective += objective
        self.nll += nll
        if self.d_features is not None:
            for place, rows in zip(places, z.chunk(self.passes), strict=True):
                torch.mm(rows, self.table, out=self.d_features[place])
        if self.d_table is not None:
            self.d_table += z.T @ x
