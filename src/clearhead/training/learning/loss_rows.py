"""Rows of logits: what they cost, and their gradient in their place.

With s the smoothing, V columns and t the target, a row costs lse - (1 - s) z[t] - s mean(z), whose gradient is
p - (1 - s) [t] - s / V. Two passes p and q over the same row cost c / 2 (KL(p|q) + KL(q|p)) beside, whose gradient for
p is c / 2 (p (log p - log q - KL(p|q)) + p - q).

The kernel (`src/native/loss_rows.h`) reads a row three times while it is in the nearest cache; the same in torch's
operations follows it, for what the kernel does not take.

N rows, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from clearhead.model.fused.arrays import array, extension, floats, maybe, takes

Sums = tuple[float | Tensor, float | Tensor]  # of what rows cost, and of the negative log-likelihood


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a row of logits costs."""

    smoothing: float = 0.0  # the share of the target that goes to all columns alike
    consistency: float = 0.0  # of two passes: the second half of the rows is the first half's again


def score(
    z: Tensor, bias: Tensor | None, targets: Tensor, cost: Cost, *, gradient: bool, d_bias: Tensor | None = None
) -> Sums:
    """The sums over rows z [N, V] with a bias [V] at targets [N] of what they cost and of the negative log-likelihood.

    With `gradient`, z becomes its gradient, and d_bias [V] has that of the bias added to it.
    """
    if takes(z) and (d_bias is None or d_bias.dtype == torch.float32):
        sums: Sums = extension().score_rows(
            logits=array(z),
            bias=floats(bias),
            targets=array(targets),
            d_bias=maybe(d_bias),
            paired=cost.consistency > 0,
            gradient=gradient,
            smoothing=cost.smoothing,
            consistency=cost.consistency,
            threads=torch.get_num_threads(),
        )
        return sums
    return in_torch(z, bias, targets[:, None], cost, gradient=gradient, d_bias=d_bias)


def in_torch(
    z: Tensor, bias: Tensor | None, targets: Tensor, cost: Cost, *, gradient: bool, d_bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The same, targets [N, 1]."""
    scores = z.to(torch.promote_types(z.dtype, torch.float32))  # fewer bits hold the logits, but not their exponentials
    if bias is not None:
        scores = scores + bias
    lse = scores.logsumexp(-1, keepdim=True)
    nll = lse - scores.gather(1, targets)  # [N, 1]
    even = lse - scores.mean(-1, keepdim=True) if cost.smoothing else nll
    objective = ((1 - cost.smoothing) * nll + cost.smoothing * even).sum(dtype=torch.float64)
    logs = scores - lse
    change = torch.exp(logs)
    if cost.smoothing:
        change -= cost.smoothing / z.shape[-1]
    change.scatter_add_(1, targets, change.new_full(targets.shape, cost.smoothing - 1))
    if cost.consistency:
        apart, pull = disagreement(logs)
        objective += cost.consistency / 2 * apart
        change.add_(pull, alpha=cost.consistency / 2)
    if gradient:
        z.copy_(change)
        if d_bias is not None:
            d_bias += z.sum(0, dtype=d_bias.dtype)
    return objective, nll.sum(dtype=torch.float64)


def disagreement(logs: Tensor) -> tuple[Tensor, Tensor]:
    """KL(p|q) + KL(q|p), summed, of the halves of log-probabilities [N, V], and its gradient [N, V]."""
    (log_p, log_q), d = logs.chunk(2), torch.sub(*logs.chunk(2))
    p, q = log_p.exp(), log_q.exp()
    pq, qp = (p * d).sum(-1, keepdim=True), -(q * d).sum(-1, keepdim=True)
    return (pq + qp).sum(dtype=torch.float64), torch.cat([p * (d - pq) + p - q, q * (-d - qp) + q - p])
