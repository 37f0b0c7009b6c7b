"""A Transformer's blocks, compiled, or computed again on the way back so that their insides need not be kept.

Activation checkpointing (Chen et al. 2016, 1604.06174): of each block only its input stays in memory; random numbers
are drawn again as they were, so that what is learnt is the same to the bit.

B rows, T tokens of a row, C d_model.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from clearhead.errors import ConfigError
from clearhead.model.block import Block
from clearhead.model.context import ForwardContext

Forward = Callable[[Tensor, ForwardContext], Tensor]


def adapt_blocks(model: nn.Module, device: torch.device, *, compiled: bool, recompute: bool) -> None:
    """Change how a model's blocks run, not what they compute. On a processor nothing is compiled: the steps that pay
    are kernels already.

    Raises:
        ConfigError: a model without blocks.
    """
    if not (compiled or recompute):
        return
    blocks = [module for module in model.modules() if isinstance(module, Block)]
    if not blocks:
        raise ConfigError("training.compile and training.recompute are for a Transformer's blocks; an RNN has none")
    for block in blocks:
        if recompute:
            block.forward = partial(twice, block.forward)  # type: ignore[method-assign]
        if compiled and device.type != "cpu":
            block.compile()


def twice(forward: Forward, x: Tensor, context: ForwardContext) -> Tensor:
    """[B, T, C] -> [B, T, C], once now, and once more on the way back."""
    return checkpoint(partial(afresh, forward), x, context, use_reentrant=False)


def afresh(forward: Forward, x: Tensor, context: ForwardContext) -> Tensor:
    """A block that finds no keys and values of the encoder's output made before, and makes them each time."""
    memory = context.memory
    if memory is not None:
        context = replace(context, memory=replace(memory, projected={}))
    return forward(x, context)
