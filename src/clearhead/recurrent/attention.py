"""The decoder's look at the encoder, after each of its steps: Luong et al. 2015 (1508.04025), section 3.1.

B batch, T target tokens, S source tokens, H d_hidden.
"""

import torch
from torch import Tensor, nn

from clearhead.model.dropout import Dropout
from clearhead.recurrent.config import RecurrentConfig, Score
from clearhead.recurrent.memory import RecurrentMemory


class GeneralAttention(nn.Module):
    """score(h, s) = h^T W s: equation 8. W s is made once for each source."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        self.key = nn.Linear(config.d_hidden, config.d_hidden, bias=False)
        self.output = nn.Linear(2 * config.d_hidden, config.d_hidden, bias=False)

    def forward(self, h: Tensor, memory: RecurrentMemory, dropout: Dropout) -> Tensor:
        """[B, T, H] -> [B, T, H]: tanh(W [what was found; h]), equation 5."""
        scores = self.scores(h, memory.keys)
        weights = (scores if memory.bias is None else scores + memory.bias).softmax(dim=-1)
        found = dropout(weights, "attention") @ memory.padded  # [B, T, S] @ [B, S, H]
        return self.output(torch.cat([found, h], dim=-1)).tanh()

    def scores(self, h: Tensor, keys: Tensor) -> Tensor:
        """[B, T, H] and [B, S, H] -> [B, T, S]."""
        return h @ keys.mT


class AdditiveAttention(GeneralAttention):
    """score(h, s) = v^T tanh(W h + U s + b): Bahdanau et al. 2015 (1409.0473), appendix A.1.2; there h is the state
    before the step."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__(config)
        self.query = nn.Linear(config.d_hidden, config.d_hidden)
        self.score = nn.Linear(config.d_hidden, 1, bias=False)

    def scores(self, h: Tensor, keys: Tensor) -> Tensor:
        """[B, T, H] and [B, S, H] -> [B, T, S], by way of [B, T, S, H]."""
        return self.score((self.query(h)[:, :, None] + keys[:, None]).tanh())[..., 0]


ATTENTIONS: dict[Score, type[GeneralAttention]] = {"general": GeneralAttention, "additive": AdditiveAttention}
