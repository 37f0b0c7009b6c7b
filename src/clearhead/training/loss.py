"""Cross-entropy over a vocabulary without the logits: scores, their loss and its gradients, a few hundred rows at a time.

Logits are the largest array of a training step of a small model, and a plain loss reads and writes them half a dozen
times: scores, log-softmax, loss, and the same backwards. Here each chunk of rows is scored, and its gradient formed in
place of its scores, while it lies in the processor's cache; only the gradients of features and table leave. Label
smoothing is that of Szegedy et al. 2016 (1512.00567), section 7; consistency of two passes, R-Drop: Liang et al. 2021
(2106.14448), equation 3.

N rows that count, C features, V vocabulary.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

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
        wanted = any(ctx.needs_input_grad)
        work = Work(features.detach(), table.detach(), None if bias is None else bias.detach(), targets, wanted)
        for rows in chunks(len(targets), len(table), twice=consistency > 0):
            work.add(rows, smoothing, consistency)
        ctx.save_for_backward(work.d_features, work.d_table, work.d_bias)
        objective = work.objective.to(torch.promote_types(features.dtype, torch.float32))
        ctx.mark_non_differentiable(work.nll)
        return objective, work.nll

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Each gradient times that of the objective."""
        return (*(None if g is None else g * upstream[0].to(g.dtype) for g in ctx.saved_tensors), None, None, None)


def chunks(n: int, vocabulary: int, *, twice: bool) -> list[Tensor | slice]:
    """Which rows to score together; with two passes, rows of the one beside the same rows of the other."""
    step = max(1, CHUNK // vocabulary)
    if not twice:
        return [slice(i, min(i + step, n)) for i in range(0, n, step)]
    half, step = n // 2, max(1, step // 2)
    rows = torch.arange(half)
    return [torch.cat([rows[i : i + step], rows[i : i + step] + half]) for i in range(0, half, step)]


class Work:
    """What the chunks add to."""

    def __init__(self, features: Tensor, table: Tensor, bias: Tensor | None, targets: Tensor, wanted: bool) -> None:
        self.features, self.targets, self.wanted = features, targets, wanted
        self.table = table.to(features.dtype)  # [V, C]
        self.bias = bias if bias is None else bias.to(features.dtype)
        self.d_features = torch.empty_like(features) if wanted else None
        self.d_table = torch.zeros_like(table) if wanted else None
        self.d_bias = torch.zeros_like(bias) if wanted and bias is not None else None
        self.objective = torch.zeros((), dtype=torch.float64, device=features.device)
        self.nll = torch.zeros((), dtype=torch.float64, device=features.device)

    def add(self, rows: Tensor | slice, smoothing: float, consistency: float) -> None:
        """Score some rows and add what they give."""
        x, targets = self.features[rows], self.targets[rows][:, None]
        z = x @ self.table.T if self.bias is None else torch.addmm(self.bias, x, self.table.T)  # [n, V]
        lse = z.logsumexp(-1, keepdim=True)
        nll = lse - z.gather(1, targets)  # [n, 1]
        self.nll += nll.sum(dtype=torch.float64)
        mean = lse - z.mean(-1, keepdim=True, dtype=torch.float32) if smoothing else nll
        self.objective += ((1 - smoothing) * nll + smoothing * mean).sum(dtype=torch.float64)
        gradient = self.gradient(z, lse, targets, smoothing)
        if consistency:
            gradient = self.agree(z, lse, gradient, consistency)
        if self.wanted:
            self.collect(rows, x, gradient)

    def gradient(self, z: Tensor, lse: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """p minus the smoothed target [n, V]."""
        p = torch.exp(z - lse)
        if smoothing:
            p -= smoothing / z.shape[-1]
        return p.scatter_add_(1, targets, p.new_full(targets.shape, smoothing - 1))

    def agree(self, z: Tensor, lse: Tensor, gradient: Tensor, consistency: float) -> Tensor:
        """Add what the divergence between the halves of the rows gives."""
        logs = (z - lse).chunk(2)
        p, q = logs[0].exp(), logs[1].exp()
        d = logs[0] - logs[1]
        pq, qp = (p * d).sum(-1, keepdim=True), -(q * d).sum(-1, keepdim=True)  # KL(p|q) and KL(q|p)
        self.objective += consistency / 2 * (pq + qp).sum(dtype=torch.float64)
        first, second = p * (d - pq) + p - q, q * (-d - qp) + q - p
        return gradient.add_(torch.cat([first, second]), alpha=consistency / 2)

    def collect(self, rows: Tensor | slice, x: Tensor, gradient: Tensor) -> None:
        """Carry the gradient of the logits [n, V] to features, table and bias."""
        assert self.d_features is not None and self.d_table is not None
        self.d_features[rows] = gradient @ self.table
        self.d_table += gradient.T @ x
        if self.d_bias is not None:
            self.d_bias += gradient.sum(0, dtype=self.d_bias.dtype)
