"""The same models as one writes them in plain PyTorch: its own modules, its own loss, AdamW, a loop of five lines."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import engine
from benchmarks.engine import timed
from benchmarks.engines.training_shapes import SHAPES, Shape


class Block(nn.Module):
    """Norm first, as GPT-2's, with torch's fused attention."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        C = s.d_model
        self.heads, self.rate = s.n_heads, s.dropout
        self.norm, self.mlp_norm = nn.LayerNorm(C), nn.LayerNorm(C)
        self.qkv, self.out = nn.Linear(C, 3 * C), nn.Linear(C, C)
        self.up, self.down, self.drop = nn.Linear(C, s.d_ff), nn.Linear(s.d_ff, C), nn.Dropout(s.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, C] -> [B, T, C]."""
        q, k, v = (h.unflatten(-1, (self.heads, -1)).transpose(1, 2) for h in self.qkv(self.norm(x)).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=self.rate)
        x = x + self.drop(self.out(y.transpose(1, 2).flatten(2)))
        return x + self.drop(self.down(F.gelu(self.up(self.mlp_norm(x)), approximate="tanh")))


class GPT(nn.Module):
    """A decoder with learned positions and a tied head."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(s.vocab_size, s.d_model), nn.Embedding(s.tokens, s.d_model)
        self.drop, self.norm = nn.Dropout(s.dropout), nn.LayerNorm(s.d_model)
        self.blocks = nn.Sequential(*(Block(s) for _ in range(s.n_layers)))

    def forward(self, source: Tensor | None, x: Tensor) -> Tensor:
        """[B, T] -> [B, T, V]."""
        h = self.drop(self.tokens(x) + self.places.weight[: x.shape[1]])
        return F.linear(self.norm(self.blocks(h)), self.tokens.weight)


class Translator(nn.Module):
    """torch's own nn.Transformer between a shared embedding and a tied head."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.scale = math.sqrt(s.d_model)
        self.tokens, self.drop = nn.Embedding(s.vocab_size, s.d_model), nn.Dropout(s.dropout)
        self.bias = nn.Parameter(torch.zeros(s.vocab_size))
        self.body = nn.Transformer(s.d_model, s.n_heads, s.n_layers, s.n_layers, s.d_ff, s.dropout, batch_first=True)
        angles = torch.arange(512)[:, None] / 10_000 ** (torch.arange(0, s.d_model, 2) / s.d_model)
        self.register_buffer("places", torch.cat([angles.sin(), angles.cos()], dim=1))

    def embed(self, x: Tensor) -> Tensor:
        """[B, T] -> [B, T, C]."""
        return self.drop(self.tokens(x) * self.scale + self.places[: x.shape[1]])

    def forward(self, source: Tensor | None, x: Tensor) -> Tensor:
        """[B, S] and [B, T] -> [B, T, V]."""
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        states = self.body(self.embed(source), self.embed(x), tgt_mask=mask, tgt_is_causal=True)
        return F.linear(states, self.tokens.weight, self.bias)


class Engine(engine.Engine):
    """`model` is the name of a shape."""

    package = "torch"

    def __init__(self, model: str, threads: int, precision: str = "float32") -> None:
        super().__init__(model, threads)
        torch.set_num_threads(threads)
        torch.manual_seed(1)
        self.shape, self.step = SHAPES[model], 0
        self.native = Translator(self.shape) if self.shape.source else GPT(self.shape)
        self.fewer = precision == "bfloat16"
        self.adam = torch.optim.AdamW(self.native.parameters(), lr=self.shape.lr, fused=True)

    def facts(self) -> dict[str, Any]:
        """With the size of the model."""
        return super().facts() | {"parameters": sum(p.numel() for p in self.native.parameters())}

    def learn(self, steps: int) -> float:
        """Tokens of the text that is said, per second."""

        def run() -> None:
            for _ in range(steps):
                self.once()

        return steps * self.shape.rows * self.shape.tokens / timed(run)

    def once(self) -> None:
        """One update."""
        source, text = self.shape.batch(self.step)
        self.step += 1
        read, said = torch.from_numpy(text[:, :-1].copy()), torch.from_numpy(text[:, 1:].copy())
        with torch.autocast("cpu", torch.bfloat16, enabled=self.fewer):
            logits = self.native(None if source is None else torch.from_numpy(source), read)
            loss = F.cross_entropy(logits.flatten(0, 1).float(), said.flatten(), label_smoothing=self.shape.smoothing)
        loss.backward()
        nn.utils.clip_grad_norm_(self.native.parameters(), 1.0)
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
