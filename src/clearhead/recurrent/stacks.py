"""The two stacks: an encoder that reads both ways, and a decoder that attends to it after each step.

Dropout lies between layers and on what the last one gives, never between steps: Zaremba et al. 2014 (1409.2329).

B batch, T tokens, S source tokens, E d_embedding, H d_hidden, N decoder layers, P vectors of a decoder's state: of each
layer h and for an LSTM c, then with input feeding what the step before gave.
"""

import torch
from torch import Tensor, nn

from clearhead.model.dropout import Dropout
from clearhead.recurrent.attention import ATTENTIONS
from clearhead.recurrent.cells import both_ways, build_layer, sequence, step
from clearhead.recurrent.config import RecurrentConfig
from clearhead.recurrent.memory import RecurrentMemory


class Encoder(nn.Module):
    """Layers of two directions with half of the width each: Bahdanau et al. 2015 (1409.0473), section 3.2."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        widths = [config.d_embedding, *[config.d_hidden] * (config.n_encoder_layers - 1)]
        half = config.d_hidden // 2
        self.layers = nn.ModuleList(build_layer(config.cell, width, half, bidirectional=True) for width in widths)

    def forward(self, x: Tensor, lengths: list[int], dropout: Dropout) -> tuple[Tensor, Tensor]:
        """[B, S, E] -> a state for each token [B, S, H], 0 at padding, and where the last layer ended [B, H]."""
        counts, last = torch.tensor(lengths), x
        for layer in self.layers:
            x, last = both_ways(layer, x, counts)
            x = dropout(x, "residual")
        return x, last


class Decoder(nn.Module):
    """Layers of one direction, and attention where there is an encoder."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        c, H, N = config, config.d_hidden, config.n_decoder_layers
        self.cell, self.vectors, self.feeding = c.cell, c.vectors, c.input_feeding
        self.per_layer = 2 if c.cell == "lstm" else 1
        widths = [c.d_embedding + H * c.input_feeding, *[H] * (N - 1)]
        self.bridge = nn.Linear(H, N * H) if c.n_encoder_layers else None
        self.layers = nn.ModuleList(build_layer(c.cell, width, H) for width in widths)
        self.attention = ATTENTIONS[c.attention](c) if c.n_encoder_layers else None

    def forward(self, x: Tensor, start: Tensor, memory: RecurrentMemory | None, dropout: Dropout) -> Tensor:
        """[B, T, E] from the state `start` [B, P, H] -> what the head reads [B, T, H]."""
        if self.feeding:
            found, state = [], start
            for token in x.unbind(1):
                given, state = self.step(token, state, memory, dropout)
                found.append(given)
            return torch.stack(found, dim=1)
        for i, layer in enumerate(self.layers):
            x = sequence(layer, dropout(x, "residual") if i else x, self.of_layer(start, i))
        return self.look(x, memory, dropout)

    def step(self, x: Tensor, state: Tensor, memory: RecurrentMemory | None, dropout: Dropout) -> tuple[Tensor, Tensor]:
        """One token [B, E] after the state [B, P, H] -> what the head reads [B, H], and the state after it."""
        x = torch.cat([x, state[:, -1]], dim=-1) if self.feeding else x
        after = []
        for i, layer in enumerate(self.layers):
            after.append(step(layer, dropout(x, "residual") if i else x, self.of_layer(state, i)))
            x = after[-1][:, 0]
        given = self.look(x[:, None], memory, dropout)
        fed = [given] if self.feeding else []
        return given[:, 0], torch.cat([*after, *fed], dim=1)

    def look(self, x: Tensor, memory: RecurrentMemory | None, dropout: Dropout) -> Tensor:
        """[B, T, H] of the last layer -> [B, T, H] after attention, where there is an encoder."""
        if self.attention is not None and memory is not None:
            x = self.attention(x, memory, dropout)
        return dropout(x, "residual")

    def of_layer(self, state: Tensor, i: int) -> Tensor:
        """The part of [B, P, H] that layer i keeps."""
        return state[:, i * self.per_layer : (i + 1) * self.per_layer]

    def begin(self, last: Tensor) -> Tensor:
        """Where an encoder ended [B, H] -> the state before the first step [B, P, H].

        h = tanh(W x), as Bahdanau et al. 2015, appendix A.2.2; an LSTM's cell is W x itself. Nothing is fed back yet.
        """
        assert self.bridge is not None
        cell = self.bridge(last).unflatten(-1, (len(self.layers), -1))  # [B, N, H]
        h = cell.tanh()
        state = torch.stack([h, cell], dim=2).flatten(1, 2) if self.cell == "lstm" else h
        return torch.cat([state, torch.zeros_like(state[:, :1])], dim=1) if self.feeding else state
