"""A decoder's weights as plain tensors, matrices that read the same input stacked into one.

The modules they come from read the rows of such a stack from then on, so that no weight is held twice.

C d_model, F d_ff, H query heads, K key/value heads, D head_dim.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from clearhead.model.attention import Attention, CrossAttention
from clearhead.model.block import Block, CrossBlock, SequentialBlock
from clearhead.model.layers import MLP, GatedMLP


class Affine(NamedTuple):
    """Weight and bias of a linear layer or a norm."""

    weight: Tensor
    bias: Tensor | None


class Look(NamedTuple):
    """One attention of a layer, with its norm."""

    norm: Affine
    project: Affine  # queries, keys and values [(H + 2K) * D, C]; for cross-attention queries alone
    output: Affine  # [C, H * D]


class Layer(NamedTuple):
    """A block's weights."""

    attention: Look
    cross: Look | None
    mlp_norm: Affine | None  # none where the MLP reads the norm of the attention
    up: Affine  # [F, C]; where gated, gate and up [2F, C]
    down: Affine  # [C, F]


def pack(block: nn.Module) -> Layer:
    """The weights of one block."""
    assert isinstance(block, Block)
    return Layer(
        attention=look(block.attention_norm, block.attention),
        cross=look(block.cross_attention_norm, block.cross_attention) if isinstance(block, CrossBlock) else None,
        mlp_norm=affine(block.mlp_norm) if isinstance(block, SequentialBlock) else None,
        up=stacked(readers(block.mlp)),
        down=affine(block.mlp.down),
    )


def look(norm: nn.Module, attention: Attention) -> Look:
    """An attention and the norm beside it."""
    own = [] if isinstance(attention, CrossAttention) else [attention.key, attention.value]
    return Look(affine(norm), stacked([attention.query, *own]), affine(attention.output))


def readers(mlp: MLP) -> list[nn.Linear]:
    """The layers that read an MLP's input."""
    return [mlp.gate, mlp.up] if isinstance(mlp, GatedMLP) else [mlp.up]


def affine(module: nn.Module) -> Affine:
    """Weight and, where there is one, bias."""
    own = {name: parameter.detach() for name, parameter in module.named_parameters(recurse=False)}
    return Affine(own["weight"], own.get("bias"))


def stacked(layers: Sequence[nn.Linear]) -> Affine:
    """One layer that gives the outputs of all, side by side."""
    if len(layers) == 1:
        return affine(layers[0])
    return Affine(joined(layers, "weight"), None if layers[0].bias is None else joined(layers, "bias"))


def joined(layers: Sequence[nn.Linear], name: str) -> Tensor:
    """One parameter of all layers, end to end; each layer goes on with its part of it."""
    whole = torch.cat([getattr(layer, name).detach() for layer in layers])
    for layer, part in zip(layers, whole.split([layer.out_features for layer in layers]), strict=True):
        setattr(layer, name, nn.Parameter(part, requires_grad=False))
    return whole
