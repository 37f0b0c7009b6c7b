"""One model on several processes: each computes its part of a batch, and their gradients are added.

ddp keeps a copy of everything on each rank (Li et al. 2020, 2006.15704). fsdp keeps a part of every weight, of its
gradient and of what the optimiser holds of it, and fetches a block's weights whole while it runs (Zhao et al. 2023,
2304.11277; Rajbhandari et al. 2019, 1910.02054): for models that do not fit one device with all of that.

Both hook into a module's call, while a loss asks several things of a model: `Whole` makes one call of them. Precision
is autocast's, as in one process, so fsdp fetches weights in float32. Blocks are compiled or wrapped before they are
spread.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

from clearhead.model.block import Block
from clearhead.model.dropout import Dropout
from clearhead.training.learning.averaging import load, whole
from clearhead.training.learning.loss import Loss
from clearhead.training.objectives.batch import Batch
from clearhead.training.ranks.ranks import ALONE, Ranks, lost

How = Literal["ddp", "fsdp"]
Compute = Callable[[Batch, Dropout | None], Loss]


class Parallel:
    """One process, which has nothing to do with others."""

    def __init__(self, ranks: Ranks = ALONE) -> None:
        self.ranks = ranks
        self.parts = 1  # gradients come out divided by this

    def loss(self, compute: Compute, batch: Batch, dropout: Dropout | None) -> Loss:
        """What `compute` makes of a batch."""
        return compute(batch, dropout)

    def adding(self, last: bool) -> AbstractContextManager[Any]:
        """Around the way there and back of a batch: the ranks' gradients are added after the last of an update."""
        return nullcontext()

    def length(self, own: float) -> float:
        """The length of all gradients, from that of those held here."""
        return own

    def whole(self, remake: Callable[[], nn.Module], model: nn.Module) -> nn.Module:
        """The model with all of its weights, for rank 0 to use by itself."""
        return model


class Whole(nn.Module):
    """A model whose call is any function of it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, compute: Compute, batch: Batch, dropout: Dropout | None) -> tuple[Tensor, Tensor]:
        """Objective and negative log-likelihood: hooks look for tensors in what comes out."""
        loss = compute(batch, dropout)
        return loss.objective, loss.nll


class Replicated(Parallel):
    """A copy on each rank; gradients are added in pieces while the rest of them is still computed."""

    def __init__(self, model: nn.Module, ranks: Ranks) -> None:
        from torch.nn.parallel import DistributedDataParallel

        super().__init__(ranks)
        self.parts = ranks.world
        self.root: Any = DistributedDataParallel(Whole(model), gradient_as_bucket_view=True)

    def loss(self, compute: Compute, batch: Batch, dropout: Dropout | None) -> Loss:
        """The same through the module that has the hooks."""
        with lost():
            objective, nll = self.root(compute, batch, dropout)
        return Loss(objective=objective, nll=nll, tokens=len(batch.labels))

    @contextmanager
    def adding(self, last: bool) -> Iterator[None]:
        """Before the last batch of an update each rank adds up its own."""
        with lost(), nullcontext() if last else self.root.no_sync():
            yield


class Sharded(Replicated):
    """A part of each weight on each rank. The model is changed in place: build its optimiser afterwards."""

    def __init__(self, model: nn.Module, ranks: Ranks) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        Parallel.__init__(self, ranks)
        self.parts = ranks.world
        mesh = init_device_mesh(next(model.parameters()).device.type, (ranks.world,))
        for module in list(model.modules()):
            if isinstance(module, Block):
                fully_shard(module, mesh=mesh)
        self.root = fully_shard(Whole(model), mesh=mesh)

    def loss(self, compute: Compute, batch: Batch, dropout: Dropout | None) -> Loss:
        """The same; where no gradients follow, what was fetched is let go, for the weights may be exchanged next."""
        loss = super().loss(compute, batch, dropout)
        if not torch.is_grad_enabled():
            self.root.reshard()
        return loss

    @contextmanager
    def adding(self, last: bool) -> Iterator[None]:
        """As with copies."""
        self.root.set_requires_gradient_sync(last)
        with lost():
            yield

    def length(self, own: float) -> float:
        """All parts make up one vector."""
        return self.ranks.sums(own**2)[0] ** 0.5

    def whole(self, remake: Callable[[], nn.Module], model: nn.Module) -> nn.Module:
        """Rank 0 gets another model of the same weights; all ranks take part in it."""
        weights = {name: whole(p.detach()) for name, p in model.named_parameters()}
        if not self.ranks.first:
            return model
        made = remake()
        load(made, weights)
        return made


def spread(model: nn.Module, how: How, ranks: Ranks) -> Parallel:
    """Have all ranks compute with this model; they begin with rank 0's weights."""
    if ranks.world == 1:
        return Parallel(ranks)
    import torch.distributed as dist

    for p in model.parameters():
        dist.broadcast(p.data, 0)
    return Sharded(model, ranks) if how == "fsdp" else Replicated(model, ranks)
