"""The recurrent layers: a whole sequence at once by torch's kernels, or one step by the same weights.

B batch, T tokens, C width of what a layer reads, H of what it gives, P vectors it hands to the next step: h, and for an
LSTM its cell c.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from clearhead.recurrent.config import Cell


def build_layer(cell: Cell, width: int, hidden: int, *, bidirectional: bool = False) -> nn.RNNBase:
    """One layer that reads [B, T, width]: LSTM (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al.
    2000) or GRU (Cho et al. 2014, 1406.1078; the reset gate acts on the product with h, as in torch)."""
    kind = nn.LSTM if cell == "lstm" else nn.GRU
    return kind(width, hidden, batch_first=True, bidirectional=bidirectional)


def sequence(layer: nn.Module, x: Tensor, start: Tensor) -> Tensor:
    """[B, T, C] from the state `start` [B, P, H] -> h at every token [B, T, H]."""
    first = [part[None].contiguous() for part in start.unbind(1)]  # [1, B, H] each
    found: Tensor = layer(x, tuple(first) if isinstance(layer, nn.LSTM) else first[0])[0]
    return found


def step(layer: nn.Module, x: Tensor, state: Tensor) -> Tensor:
    """[B, C] and the state before it [B, P, H] -> the state after it [B, P, H], h first."""
    assert isinstance(layer, nn.RNNBase)
    [weights] = layer.all_weights
    if isinstance(layer, nn.LSTM):
        return torch.stack(torch.lstm_cell(x, state.unbind(1), *weights), dim=1)
    return torch.gru_cell(x, state[:, 0], *weights)[:, None]


def both_ways(layer: nn.Module, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """[B, S, C] -> h of both directions side by side [B, S, H], 0 at padding, and where each direction ended [B, H].

    Packed, so that the direction that begins at the end begins at each row's own.
    """
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    states, last = layer(packed)
    last = last[0] if isinstance(layer, nn.LSTM) else last  # [2, B, H / 2]
    padded, _ = pad_packed_sequence(states, batch_first=True, total_length=x.shape[1])
    return padded, torch.cat([last[0], last[1]], dim=-1)
