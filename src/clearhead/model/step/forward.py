"""One new token for every row of a batch, as a function of tensors that stay where they are.

The equations of `transformer.py`, arranged for a GPU asked for one token at a time: nothing waits for a value to reach
the processor, keys and values are written in place, and matrices that read the same input are one. Such a pass can be
recorded once and replayed. It is compiled in pieces that take a layer's weights as arguments, so that one compilation
serves all layers.

R rows, C d_model, F d_ff, H query heads, K key/value heads, G = H / K, D head_dim, S keys, V vocab_size.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from clearhead.model.attention import rotate
from clearhead.model.cache import Pair
from clearhead.model.head import LanguageModelHead
from clearhead.model.layers import ACTIVATIONS
from clearhead.model.step.cache import Storage
from clearhead.model.step.positions import DevicePositions
from clearhead.model.step.weights import Affine, Layer, Look, affine, pack
from clearhead.model.transformer import Transformer

Fuse = Callable[[Any], Any]  # a compiler of one piece


def as_it_is(piece: Any) -> Any:
    """No compiler."""
    return piece


class Step:
    """The decoder of one model, its pieces compiled by `fuse`.

    Attention is one kernel per row and key head, which fills a processor of many parts only with many of those; where
    they are fewer than `spread`, the keys are divided among the parts instead.
    """

    def __init__(self, pieces: "Pieces", fuse: Fuse = as_it_is, spread: int = 0) -> None:
        self.pieces, self.spread = pieces, spread
        self.embed, self.hide = fuse(pieces.embed), fuse(pieces.hide)
        self.look, self.look_across = fuse(pieces.look), fuse(pieces.look_across)
        self.attend_spread = fuse(pieces.attend_spread)
        self.finish, self.logits = fuse(pieces.finish), fuse(pieces.logits)

    def __call__(self, storage: Storage, span: int) -> Tensor:
        """Logits [R, V] after the tokens of `storage.inputs`, each row's key being among the first `span`."""
        spread = storage.rows * self.pieces.config.n_kv_heads < self.spread
        attend: Callable[..., Tensor] = self.attend_spread if spread else self.pieces.attend
        dtype = self.pieces.wide if spread else self.pieces.dtype
        x, rotary, bias = self.embed(storage.inputs, span, dtype)
        beyond = self.hide(storage.memory_lengths, storage.memory_span, dtype) if self.pieces.cross else None
        for layer, kept, memory in zip(self.pieces.layers, storage.kept, storage.memory, strict=True):
            q = self.look(x, layer.attention, rotary, storage.inputs, kept)
            mixed = attend(q, kept, bias)
            if layer.cross is not None:
                x, q = self.look_across(x, mixed, layer)
                mixed = attend(q, memory, beyond)
            x = self.finish(x, mixed, layer)
        logits: Tensor = self.logits(x)
        return logits


class Pieces:
    """What a step is made of: the weights, and the equations between one read or write of the cache and the next."""

    def __init__(self, model: Transformer) -> None:
        assert model.decoder is not None and isinstance(model.head, LanguageModelHead)
        self.config, self.positions = model.config, DevicePositions(model)
        self.pre, self.cross = model.config.norm_placement == "pre", model.config.n_encoder_layers > 0
        self.activation = ACTIVATIONS[model.config.activation]
        self.tokens = model.embed.tokens.weight.detach()
        self.token_type = None if model.embed.token_types is None else model.embed.token_types.weight.detach()[0]
        self.embedding_norm = affine(model.embed.norm) if model.config.embedding_norm else None
        self.layers = [pack(block) for block in model.decoder.layers]
        self.norm = affine(model.decoder.norm) if self.pre else None
        own, bias = model.head.projection.weight, model.head.projection.bias
        self.head = Affine(self.tokens if own is None else own.detach(), None if bias is None else bias.detach())
        self.dtype = self.tokens.dtype
        self.wide = torch.promote_types(self.dtype, torch.float32)  # of scores and logits

    def embed(self, inputs: Tensor, span: int, dtype: torch.dtype) -> tuple[Tensor, Pair | None, Tensor]:
        """Ids and positions [2, R] -> the embedding [R, C], the rotary tables and the bias of self-attention."""
        ids, positions = inputs[0], inputs[1]
        x = F.embedding(ids, self.tokens) * self.config.embedding_scale
        if self.positions.vectors is not None:
            x = x + F.embedding(positions, self.positions.vectors)
        if self.token_type is not None:
            x = x + self.token_type
        if self.embedding_norm is not None:
            x = self.normed(x, self.embedding_norm)
        return x, self.positions.rotary(positions, self.dtype), self.positions.bias(positions, span, dtype)

    def hide(self, lengths: Tensor, span: int, dtype: torch.dtype) -> Tensor:
        """The bias [R, 1, S] that hides what lies beyond the first lengths [R] of a memory."""
        hidden = torch.arange(span, device=lengths.device) >= lengths[:, None]
        return torch.zeros_like(hidden, dtype=dtype).masked_fill(hidden, float("-inf"))[:, None]

    def look(self, x: Tensor, look: Look, rotary: Pair | None, inputs: Tensor, kept: Pair) -> Tensor:
        """[R, C] -> queries [R, H, D]; writes this token's keys and values where its position says."""
        c = self.config
        projected = linear(self.before(x, look.norm), look.project).unflatten(-1, (-1, c.head_dim))
        q, k, v = projected.split([c.n_heads, c.n_kv_heads, c.n_kv_heads], dim=1)
        if rotary is not None:
            q, k = rotate(q, rotary), rotate(k, rotary)
        rows = torch.arange(len(x), device=x.device)
        for stored, new in zip(kept, (k, v), strict=True):
            stored[rows, :, inputs[1]] = new  # [R, K, capacity, D]
        return q

    def look_across(self, x: Tensor, mixed: Tensor, layer: Layer) -> tuple[Tensor, Tensor]:
        """Self-attention's end and cross-attention's beginning: [R, C], [R, H * D] -> [R, C] and queries [R, H, D]."""
        assert layer.cross is not None
        x = self.after(x, linear(mixed, layer.attention.output), layer.attention.norm)
        q = linear(self.before(x, layer.cross.norm), layer.cross.project)
        return x, q.unflatten(-1, (-1, self.config.head_dim))

    def attend(self, q: Tensor, kept: Pair, bias: Tensor) -> Tensor:
        """[R, H, D] over the first S of two [R, K, capacity, D] -> [R, H * D].

        The G heads that share keys stand where the tokens of a longer query would.
        """
        k, v = (stored[:, :, : bias.shape[-1]] for stored in kept)
        q, bias = self.grouped(q), self.grouped(bias.expand(-1, self.config.n_heads, -1))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=self.config.score_scale)
        return mixed.flatten(1)

    def attend_spread(self, q: Tensor, kept: Pair, bias: Tensor) -> Tensor:
        """The same as sums, which a compiler divides among as many processors as there are."""
        k, v = (stored[:, :, None, : bias.shape[-1]].to(self.wide) for stored in kept)  # [R, K, 1, S, D]
        scores = (self.grouped(q)[..., None, :] * k).sum(-1).flatten(1, 2)  # [R, H, S]
        weights = (scores * self.config.score_scale + bias).softmax(dim=-1)
        return (self.grouped(weights)[..., None] * v).sum(-2).flatten(1).to(self.dtype)

    def finish(self, x: Tensor, mixed: Tensor, layer: Layer) -> Tensor:
        """[R, C] and the last attention's heads [R, H * D] -> the block's output [R, C]."""
        look = layer.cross or layer.attention
        attended = linear(mixed, look.output)
        if layer.mlp_norm is None:
            return x + attended + self.mlp(self.normed(x, look.norm), layer)
        x = self.after(x, attended, look.norm)
        return self.after(x, self.mlp(self.before(x, layer.mlp_norm), layer), layer.mlp_norm)

    def mlp(self, x: Tensor, layer: Layer) -> Tensor:
        """[R, C] -> [R, C]."""
        hidden = linear(x, layer.up)
        if self.config.mlp == "plain":
            return linear(self.activation(hidden), layer.down)
        gate, up = hidden.chunk(2, dim=-1)
        return linear(self.activation(gate) * up, layer.down)

    def logits(self, x: Tensor) -> Tensor:
        """[R, C] -> [R, V], in float32 at least."""
        if self.norm is not None:
            x = self.normed(x, self.norm)
        return linear(x * self.config.logit_scale, self.head).to(self.wide)

    def grouped(self, x: Tensor) -> Tensor:
        """[R, H, ...] -> [R, K, G, ...]."""
        return x.unflatten(1, (self.config.n_kv_heads, -1))

    def before(self, x: Tensor, norm: Affine) -> Tensor:
        """What a sublayer reads: see `block.pre_norm`."""
        return self.normed(x, norm) if self.pre else x

    def after(self, x: Tensor, written: Tensor, norm: Affine) -> Tensor:
        """What a sublayer leaves: see `block.post_norm`."""
        return x + written if self.pre else self.normed(x + written, norm)

    def normed(self, x: Tensor, norm: Affine) -> Tensor:
        """[R, C] -> [R, C]."""
        if self.config.norm == "rms":
            return F.rms_norm(x, x.shape[-1:], norm.weight, self.config.norm_eps)
        return F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, self.config.norm_eps)


def linear(x: Tensor, layer: Affine) -> Tensor:
    """x W^T + b."""
    return F.linear(x, layer.weight, layer.bias)
