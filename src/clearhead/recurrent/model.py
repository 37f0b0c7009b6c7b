"""The recurrent model: what the Transformer replaced, as a language model and as an encoder with a decoder.

B batch, T tokens, S source tokens, E d_embedding, H d_hidden, P vectors of a decoder's state, V vocab_size.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.model.dropout import NONE, Dropout
from clearhead.model.head import Parts
from clearhead.recurrent.config import RecurrentConfig
from clearhead.recurrent.memory import RecurrentMemory, padding_bias
from clearhead.recurrent.stacks import Decoder, Encoder


class Recurrent(nn.Module):
    """An LSTM or GRU language model, or an encoder and a decoder with attention.

    Rows of a batch are padded on the right; `lengths[i]` of row i's ids count. Its parameters are exactly
    `recurrent.layout.layout(config)`; `recurrent.initial` draws their first values.
    """

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab_size, config.d_embedding)
        self.encoder = Encoder(config) if config.n_encoder_layers else None
        self.decoder = Decoder(config)
        self.head = Head(config)

    def encode(self, ids: Tensor, lengths: list[int], *, dropout: Dropout | None = None) -> RecurrentMemory:
        """ids [B, S] -> the memory that a decoder attends to."""
        assert self.encoder is not None
        assert self.decoder.attention is not None
        rates = dropout or NONE
        states, last = self.encoder(self.vectors(ids, rates), lengths, rates)
        keys, start = self.decoder.attention.key(states), self.decoder.begin(last)
        return RecurrentMemory(states, lengths, keys, start, padding_bias(states, lengths))

    def states(
        self, ids: Tensor, lengths: list[int], target: Tensor | None = None, *, dropout: Dropout | None = None
    ) -> Tensor:
        """What the head reads of whole rows [B, T, H]; of `target` [B, T] where there is an encoder.

        Padding of a row that is written is not hidden: no real token sees it, and the loss leaves it out.
        """
        rates = dropout or NONE
        if self.encoder is None:
            return self.decoder(self.vectors(ids, rates), self.start(len(ids)), None, rates)
        assert target is not None
        memory = self.encode(ids, lengths, dropout=rates)
        return self.decoder(self.vectors(target, rates), memory.start, memory, rates)

    def step(self, ids: Tensor, state: Tensor, memory: RecurrentMemory | None) -> tuple[Tensor, Tensor]:
        """One token of each row [B] after the state [B, P, H] -> what the head reads [B, H], and the state after it."""
        return self.decoder.step(self.embed(ids), state, memory, NONE)

    def start(self, rows: int) -> Tensor:
        """The state of a decoder that has read nothing and has no encoder [B, P, H]: zeros."""
        return self.embed.weight.new_zeros(rows, self.config.vectors, self.config.d_hidden)

    def vectors(self, ids: Tensor, dropout: Dropout) -> Tensor:
        """ids [B, T] -> [B, T, E]."""
        return dropout(self.embed(ids), "embedding")

    def output(self, states: Tensor) -> Parts:
        """The logits [..., V] of states [..., H] in three parts, for a loss that multiplies them out piece by piece:
        features [..., E or H], their table [V, E or H] and a bias [V]."""
        return self.head.parts(states, self.embed.weight)

    def logits(self, states: Tensor) -> Tensor:
        """[..., H] -> [..., V]."""
        return F.linear(*self.output(states))

    def forward(self, ids: Tensor, lengths: list[int], target: Tensor | None = None) -> Tensor:
        """Logits [B, T, V] of whole rows; of `target` [B, T] where there is an encoder."""
        return self.logits(self.states(ids, lengths, target))


class Head(nn.Module):
    """A score for every token, against its embedding where the two are tied (Press and Wolf 2016, 1608.05859)."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        V, E, H = config.vocab_size, config.d_embedding, config.d_hidden
        self.projection = nn.Linear(H, E, bias=False) if config.projects else nn.Identity()
        self.weight = None if config.tied else nn.Parameter(nn.Embedding(V, H).weight)
        self.bias = nn.Parameter(nn.Embedding(V, 1).weight[:, 0]) if config.head_bias else None

    def parts(self, states: Tensor, embedding: Tensor) -> Parts:
        """States [..., H] and the embedding [V, E] -> features, table and bias."""
        return self.projection(states), embedding if self.weight is None else self.weight, self.bias
