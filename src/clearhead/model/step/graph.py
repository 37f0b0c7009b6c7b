"""What a function does on a GPU, recorded once and replayed at one launch (CUDA graphs)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Function = Callable[[], Tensor]


class Graph:
    """A replay reads and writes the tensors of the recording, at their addresses, and asks nothing of Python.

    Recordings that share a `pool` share memory between their first and last kernel: replay one at a time.
    """

    def __init__(self, function: Function, device: torch.device, pool: Any) -> None:
        with torch.cuda.device(device):
            self.warm_up(function)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, pool=pool, capture_error_mode="thread_local"):
                self.output = function()

    @staticmethod
    def warm_up(function: Function) -> None:
        """Compile, tune and allocate what is kept between calls: nothing of that may be recorded."""
        current, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(current)
        with torch.cuda.stream(aside):
            function()
        current.wait_stream(aside)

    def __call__(self) -> Tensor:
        """The output, which the next replay overwrites."""
        self.graph.replay()
        return self.output
