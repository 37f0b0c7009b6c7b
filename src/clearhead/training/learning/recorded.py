"""A Transformer's way there and back, recorded once for each shape of batch and replayed at one launch (CUDA graphs).

A small model's step on a GPU is a thousand small operations, and starting them takes longer than what they compute.
What is recorded is the part whose operations depend on shapes alone: from ids to states, and from the gradient of the
states to those of the weights. The loss between them depends on how many places count, and is done as ever. Batches are
padded further to a grid of shapes, so that few recordings serve an epoch; a shape is recorded when it has come up often
enough to be no exception.

All recordings share their memory between the first and the last kernel: what one leaves there is gone when the next one
runs, so a batch goes there and back before another does.

B rows, S ids of a row, T ids of a target's row, C d_model.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from clearhead.training.learning.loss import Loss
from clearhead.training.objectives.batch import Batch

ROWS, TOKENS = 8, 4  # of the grid
OFTEN = 3  # the time at which a shape is recorded

Inputs = tuple[Tensor, Tensor, Tensor | None]  # ids [B, S], their lengths [B], and target [B, T]
There = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # of them, the states [B, T or S, C]
Cost = Callable[[Tensor, Batch], Loss]


class Make(Protocol):
    """Makes the recording of one shape, of which `inputs` are an example."""

    def __call__(
        self, there: There, inputs: Inputs, parameters: list[nn.Parameter], gradients: list[Tensor], /
    ) -> "Tape":
        """It adds to `gradients` what it finds for `parameters`."""


class Tape(Protocol):
    """What was recorded of one shape."""

    def there(self, inputs: Inputs) -> Tensor:
        """The states, which hold until the next pass."""

    def back(self, gradient: Tensor) -> None:
        """Add to the gradients of the weights, from that of the states."""


class Recorder:
    """Learns from batches as plain autograd does, and ever more of them from recordings.

    The gradients of all weights are there from the beginning, and stay where they are.
    """

    def __init__(self, there: There, parameters: list[nn.Parameter], make: Make | None = None) -> None:
        self.there, self.parameters = there, parameters
        self.gradients = [torch.zeros_like(p) for p in parameters]
        for p, gradient in zip(parameters, self.gradients, strict=True):
            p.grad = gradient
        self.seen: Counter[tuple[torch.Size, ...]] = Counter()
        self.tapes: dict[tuple[torch.Size, ...], Tape] = {}
        self.make = make or CudaTapes()

    def learn(self, batch: Batch, device: torch.device, cost: Cost) -> Loss:
        """The loss of a batch, its gradients added to those there are."""
        batch = batch.roomier(ROWS, TOKENS)
        lengths = torch.tensor(batch.lengths).to(device, non_blocking=True)
        batch = batch.to(device)
        inputs = batch.ids, lengths, batch.target
        tape = self.tape(inputs)
        states = self.there(*inputs) if tape is None else tape.there(inputs)
        leaf = states.detach().requires_grad_()
        loss = cost(leaf, batch)
        loss.objective.backward()
        assert leaf.grad is not None
        if tape is None:
            states.backward(leaf.grad)
        else:
            tape.back(leaf.grad)
        return loss

    def tape(self, inputs: Inputs) -> Tape | None:
        """That of the shape of these, once it has one."""
        shape = tuple(t.shape for t in inputs if t is not None)
        self.seen[shape] += 1
        if shape not in self.tapes and self.seen[shape] >= OFTEN:
            self.tapes[shape] = self.make(self.there, inputs, self.parameters, self.gradients)
        return self.tapes.get(shape)

    def forget(self) -> None:
        """Set all gradients to zero, where they are."""
        torch._foreach_zero_(self.gradients)


class CudaTapes:
    """Makes recordings on one stream, in one pool of memory."""

    def __init__(self) -> None:
        self.stream: Any = torch.cuda.Stream()
        self.pool: Any = torch.cuda.graph_pool_handle()
        self.warm = False

    def __call__(
        self, there: There, inputs: Inputs, parameters: list[nn.Parameter], gradients: list[Tensor]
    ) -> "CudaTape":
        """The recording of one shape."""
        torch.cuda.synchronize()
        with torch.cuda.stream(self.stream):
            if not self.warm:  # libraries allocate what they keep with a stream's first calls
                warm_up(there, inputs, parameters)
                self.warm = True
            tape = CudaTape(there, inputs, parameters, gradients, self.pool)
        torch.cuda.synchronize()
        return tape


def warm_up(there: There, inputs: Inputs, parameters: list[nn.Parameter]) -> None:
    """A pass whose gradients are thrown away."""
    states = there(*inputs)
    torch.autograd.grad(states, parameters, torch.zeros_like(states), allow_unused=True)
    torch.cuda.synchronize()


class CudaTape:
    """Two graphs, and the tensors that they read and write at addresses that stay."""

    def __init__(
        self, there: There, inputs: Inputs, parameters: list[nn.Parameter], gradients: list[Tensor], pool: Any
    ) -> None:
        ids, lengths, target = inputs
        self.inputs: Inputs = (ids.clone(), lengths.clone(), None if target is None else target.clone())
        self.forward, self.backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        states = recording(self.forward, pool, lambda: there(*self.inputs))
        self.gradient = torch.zeros_like(states)
        torch.cuda.synchronize()

        def add() -> None:
            found = torch.autograd.grad(states, parameters, self.gradient, allow_unused=True)
            pairs = [(own, new) for own, new in zip(gradients, found, strict=True) if new is not None]
            torch._foreach_add_([own for own, _ in pairs], [new for _, new in pairs])

        recording(self.backward, pool, add)
        self.states = states.detach()

    def there(self, inputs: Inputs) -> Tensor:
        """Replay the first graph."""
        for own, new in zip(self.inputs, inputs, strict=True):
            if own is not None and new is not None:
                own.copy_(new)
        self.forward.replay()
        return self.states

    def back(self, gradient: Tensor) -> None:
        """Replay the second."""
        self.gradient.copy_(gradient)
        self.backward.replay()


def recording(graph: Any, pool: Any, function: Callable[[], Any]) -> Any:
    """What a function returns, its kernels recorded and not run."""
    graph.capture_begin(pool=pool)
    try:
        return function()
    finally:
        graph.capture_end()
