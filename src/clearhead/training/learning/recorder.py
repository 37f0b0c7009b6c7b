"""A Transformer's passes, recorded once for each shape of batch and replayed at one launch (CUDA graphs).

A small model's step on a GPU is a thousand small operations, and starting them takes longer than what they compute.
What is recorded is the part whose operations depend on shapes alone: from ids to states, and from the gradient of the
states to those of the weights. The loss between them depends on how many places count, and is done as ever. Batches are
padded further to a grid of shapes, so that few recordings serve an epoch; a shape is recorded when it has come up often
enough to be no exception. What is learnt is the same but for rounding and for what dropout draws.

All recordings share their memory between the first and the last kernel: what one leaves there is gone when the next one
runs, so a batch is through before another begins.

B rows, S ids of a row, T ids of a target's row, C d_model.
"""

import gc
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from clearhead.model.memory import Lengths
from clearhead.training.learning.loss import Loss
from clearhead.training.objectives.batch import Batch

ROWS, TOKENS = 8, 4  # of the grid
OFTEN = 3  # the time at which a shape is recorded
MOST = 500  # shapes; each keeps a few megabytes on the device

Inputs = tuple[Tensor, Lengths, Tensor | None]  # ids [B, S], lengths that count [B], target [B, T]
States = Callable[[Tensor, Lengths, Tensor | None], Tensor]  # of them, what a loss reads [B, T or S, C]
Cost = Callable[[Tensor, Batch], Loss]
Shape = tuple[torch.Size | bool, ...]


class Graphs(Protocol):
    """What was recorded of one shape."""

    def forward(self, inputs: Inputs) -> Tensor:
        """The states, which hold until the next pass."""

    def backward(self, gradient: Tensor) -> None:
        """Add to the gradients of the weights, from that of the states."""


class Weights(Protocol):
    """What learns, and where its gradients are summed up."""

    parameters: list[nn.Parameter]
    gradients: list[Tensor]


class Recorder:
    """Learns from batches as plain autograd does, and ever more of them from recordings.

    The gradients of all weights are there from the beginning, and stay where they are. `record` makes those of the
    shape of some inputs.
    """

    def __init__(self, parameters: list[nn.Parameter], record: "Record | None" = None) -> None:
        self.parameters = parameters
        self.gradients = [torch.zeros_like(p) for p in parameters]
        for p, gradient in zip(parameters, self.gradients, strict=True):
            p.grad = gradient
        self.seen: Counter[Shape] = Counter()
        self.graphs: dict[Shape, Graphs] = {}
        self.crowded = False  # the device has no room for one more recording
        self.record = record or Capturer(parameters[0].device)

    def learn(self, batch: Batch, states: States, cost: Cost) -> Loss:
        """The loss of a batch, its gradients added to those there are."""
        device = self.parameters[0].device
        if not (batch.full and batch.target is None):  # windows of one long text are all of one shape
            batch = batch.roomier(ROWS, TOKENS)
        lengths: Lengths = batch.lengths
        if not batch.full:
            lengths = torch.tensor(batch.lengths).to(device, non_blocking=True)
        batch = batch.to(device)
        inputs = batch.ids, lengths, batch.target
        graphs = self.captured(states, inputs)
        given = states(*inputs) if graphs is None else graphs.forward(inputs)
        leaf = given.detach().requires_grad_()
        loss = cost(leaf, batch)
        loss.objective.backward()
        assert leaf.grad is not None
        if graphs is None:
            given.backward(leaf.grad)
        else:
            graphs.backward(leaf.grad)
        # Without its graph, which would keep nodes of this stream alive into a recording on another.
        return Loss(objective=loss.objective.detach(), nll=loss.nll, tokens=loss.tokens)

    def captured(self, states: States, inputs: Inputs) -> Graphs | None:
        """That of the shape of these, once it has one."""
        shape = shape_of(inputs)
        self.seen[shape] += 1
        if shape not in self.graphs and self.seen[shape] >= OFTEN and len(self.graphs) < MOST and not self.crowded:
            made = self.record(states, inputs, self)
            if made is None:
                self.crowded = True
            else:
                self.graphs[shape] = made
        return self.graphs.get(shape)

    def forget(self) -> None:
        """Set all gradients to zero, where they are."""
        torch._foreach_zero_(self.gradients)


class Record(Protocol):
    """Makes graphs of passes."""

    def __call__(self, states: States, inputs: Inputs, weights: Weights, /) -> Graphs | None:
        """That of the shape of these inputs; None where there is no room for it."""


def shape_of(inputs: Inputs) -> Shape:
    """All that the operations of a pass depend on."""
    ids, lengths, target = inputs
    return ids.shape, isinstance(lengths, Tensor), target.shape if target is not None else ids.shape


class Capturer:
    """Makes recordings on one stream of a device, in one pool of memory."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        with torch.cuda.device(device):
            self.stream: Any = torch.cuda.Stream()
            self.pool: Any = torch.cuda.graph_pool_handle()
        self.warm = False

    def __call__(self, states: States, inputs: Inputs, weights: Weights) -> Graphs | None:
        """The recording of one shape."""
        with torch.cuda.device(self.device):
            gc.collect()  # an older graph must not be taken down meanwhile
            torch.cuda.synchronize()
            torch.cuda.empty_cache()  # which a recording cannot do for itself
            try:
                with torch.cuda.stream(self.stream):
                    self.warm_up(states, inputs, weights)
                    return CudaGraphs(states, inputs, weights, self.pool)
            except torch.OutOfMemoryError:
                return None
            finally:
                torch.cuda.synchronize()

    def warm_up(self, states: States, inputs: Inputs, weights: Weights) -> None:
        """A first pass on the stream, whose result is thrown away: libraries allocate what they keep."""
        if self.warm:
            return
        with torch.random.fork_rng([self.device]):
            given = states(*inputs)
            torch.autograd.grad(given, weights.parameters, torch.zeros_like(given), allow_unused=True)
        torch.cuda.synchronize()
        self.warm = True


class CudaGraphs:
    """Two graphs, and the tensors that they read and write at addresses that stay."""

    def __init__(self, states: States, inputs: Inputs, weights: Weights, pool: Any) -> None:
        ids, lengths, target = inputs
        kept = lengths.clone() if isinstance(lengths, Tensor) else lengths
        self.inputs: Inputs = (ids.clone(), kept, None if target is None else target.clone())
        self.forward_graph, self.backward_graph = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        given = capture(self.forward_graph, pool, lambda: states(*self.inputs))
        self.gradient = torch.zeros_like(given)
        torch.cuda.synchronize()
        capture(self.backward_graph, pool, lambda: add_gradients(given, self.gradient, weights))
        self.given = given.detach()

    def forward(self, inputs: Inputs) -> Tensor:
        """Replay the first graph."""
        for own, new in zip(self.inputs, inputs, strict=True):
            if isinstance(own, Tensor) and isinstance(new, Tensor):
                own.copy_(new)
        self.forward_graph.replay()
        return self.given

    def backward(self, gradient: Tensor) -> None:
        """Replay the second."""
        self.gradient.copy_(gradient)
        self.backward_graph.replay()


def add_gradients(states: Tensor, gradient: Tensor, weights: Weights) -> None:
    """Add what the gradient of the states means for the weights."""
    found = torch.autograd.grad(states, weights.parameters, gradient, allow_unused=True)
    pairs = [(own, new) for own, new in zip(weights.gradients, found, strict=True) if new is not None]
    torch._foreach_add_([own for own, _ in pairs], [new for _, new in pairs])


def capture(graph: Any, pool: Any, function: Callable[[], Any]) -> Any:
    """What a function returns, its kernels recorded and not run."""
    graph.capture_begin(pool=pool)
    try:
        made = function()
    except BaseException:
        with suppress(RuntimeError):  # of a recording that is broken already
            graph.capture_end()
        raise
    graph.capture_end()
    return made
