"""The Transformer: embedding, an encoder, a decoder or both, and a head, as the configuration asks.

B batch, T tokens, S source tokens, C d_model, V vocab_size.
"""

import torch
from torch import Tensor, nn

from clearhead.config import ModelConfig
from clearhead.edits import Edits
from clearhead.model.block import CrossBlock
from clearhead.model.cache import KVCache
from clearhead.model.context import ForwardContext, edited
from clearhead.model.dropout import Dropout
from clearhead.model.embedding import Embedding
from clearhead.model.head import HEADS, Parts
from clearhead.model.memory import Lengths, TorchMemory, beyond
from clearhead.model.stack import Stack
from clearhead.trace import Trace
from clearhead.trace.schema import LOGITS, last_stack


class Transformer(nn.Module):
    """Vaswani et al. 2017, figure 1, and the six architectures that came of it.

    Rows of a batch are padded on the right; `lengths[i]` of row i's ids count. Its parameters are exactly
    `families.layout.layout(config)`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = Embedding(config)
        n_encoder, n_decoder = config.n_encoder_layers, config.n_decoder_layers
        self.encoder = Stack(config, "encoder", n_encoder, causal=False, cross=False) if n_encoder else None
        self.decoder = Stack(config, "decoder", n_decoder, causal=True, cross=n_encoder > 0) if n_decoder else None
        self.pooler = nn.Linear(config.d_model, config.d_model) if config.pooler else None
        self.head = HEADS[config.head](config) if config.head != "none" else None

    def encode(
        self,
        ids: Tensor,
        lengths: Lengths,
        types: Tensor | None = None,
        *,
        trace: Trace | None = None,
        edits: Edits | None = None,
        dropout: Dropout | None = None,
    ) -> Tensor:
        """ids [B, S] -> the memory [B, S, C]; what stands at padding means nothing."""
        assert self.encoder is not None
        context = ForwardContext(stack="encoder", trace=trace, edits=edits, dropout=dropout)
        positions = torch.arange(ids.shape[1], device=ids.device)[None]
        x = self.embed(ids, positions, types, context)
        return self.encoder(x, positions, hide_padding(positions, lengths), context)

    def project(self, memory: TorchMemory, edits: Edits) -> None:
        """Make what cross-attention reads of a memory, where edits change that: it belongs to the memory."""
        for block in self.decoder.layers if self.decoder is not None else ():
            assert isinstance(block, CrossBlock)
            attention = block.cross_attention
            if f"{attention.path}.key" in edits or f"{attention.path}.value" in edits:
                key, value = memory.keys_values(attention.path, attention.keys_values)
                memory.projected[attention.path] = (
                    edited(edits, f"{attention.path}.key", key, 0),
                    edited(edits, f"{attention.path}.value", value, 0),
                )

    def decode(
        self,
        ids: Tensor,
        lengths: list[int],
        *,
        cache: KVCache | None = None,
        memory: TorchMemory | None = None,
        trace: Trace | None = None,
        edits: Edits | None = None,
        dropout: Dropout | None = None,
    ) -> Tensor:
        """ids [B, T], which follow what each row of the cache holds -> states [B, T, C], to be given to `logits`.

        `memory` is the encoder's output, for a decoder beside an encoder; `dropout` is given in training.
        """
        assert self.decoder is not None
        context = ForwardContext(cache=cache, trace=trace, edits=edits, dropout=dropout)
        if cache is not None:
            context.slots = cache.slots(lengths)
            context.first = context.slots.starts[0]
        if memory is not None:
            context.memory, context.memory_bias = memory, memory.bias()
        positions, keys = self.places(ids, context)
        x = self.embed(ids, positions, None, context)
        x = self.decoder(x, positions, keys, context)
        if cache is not None and context.slots is not None:
            cache.advance(context.slots)
        return x

    @staticmethod
    def places(ids: Tensor, context: ForwardContext) -> tuple[Tensor, Tensor]:
        """Positions of the queries [B or 1, T] and of the keys [1, S]; a key's place in the cache is its position.

        Keys that padding wrote lie ahead of every real query, so the causal mask hides them too.
        """
        steps = torch.arange(ids.shape[1], device=ids.device)[None]
        if context.slots is None:
            return steps, steps
        keys = torch.arange(context.slots.end, device=ids.device)[None]
        starts = context.slots.starts
        same = starts[:1] if len(set(starts)) == 1 else starts
        return torch.tensor(same, device=ids.device)[:, None] + steps, keys

    def logits(self, states: Tensor, trace: Trace | None = None) -> Tensor:
        """[B, T, C] -> [B, T, V]; [B, 1, labels] for a head over the pooled text."""
        assert self.head is not None
        if self.config.head == "sequence_labels":
            states = self.pool(states)[:, None]
        logits = self.head(states, self.embed.tokens.weight)
        ForwardContext(trace=trace).record(LOGITS, logits)
        return logits

    def read(self, states: Tensor) -> Tensor:
        """States of any layer [B, T, C] -> logits [B, T, V], through the last stack's last norm."""
        stack = self.encoder if last_stack(self.config) == "encoder" else self.decoder
        assert stack is not None
        return self.logits(stack.norm(states))

    def pool(self, states: Tensor) -> Tensor:
        """[B, T, C] -> [B, C]: BERT's tanh layer over the first token."""
        assert self.pooler is not None
        return self.pooler(states[:, 0]).tanh()

    def states(
        self, ids: Tensor, lengths: Lengths, target: Tensor | None = None, *, dropout: Dropout | None = None
    ) -> Tensor:
        """What the head reads of whole rows [B, T, C]; of `target` [B, T] where there are both stacks.

        Padding of what is written is not hidden: no real token sees it, and the loss leaves it out.
        """
        if self.decoder is None:
            return self.encode(ids, lengths, dropout=dropout)
        if self.encoder is None:
            return self.decode(ids, whole(ids), dropout=dropout)
        assert target is not None
        states = self.encode(ids, lengths, dropout=dropout)
        if isinstance(lengths, Tensor):
            memory = TorchMemory(states, whole(ids), padding=beyond(lengths, ids))
        else:
            memory = TorchMemory(states, lengths)
        return self.decode(target, whole(target), memory=memory, dropout=dropout)

    def output(self, states: Tensor) -> Parts:
        """The logits [..., V] of states [..., C] in three parts, for a loss that multiplies them out piece by piece."""
        assert self.head is not None
        return self.head.parts(states, self.embed.tokens.weight)

    def forward(self, ids: Tensor, lengths: list[int], target: Tensor | None = None) -> Tensor:
        """Logits [B, T, V] of whole rows; of `target` [B, T] where there are both stacks."""
        return self.logits(self.states(ids, lengths, target))


def whole(ids: Tensor) -> list[int]:
    """The lengths of rows [B, T] without padding."""
    return [ids.shape[1]] * len(ids)


def hide_padding(positions: Tensor, lengths: Lengths) -> Tensor:
    """Positions of the keys of each row [B or 1, S], -1 at padding; the same tensor where there is none."""
    if not isinstance(lengths, Tensor) and min(lengths) == positions.shape[1]:
        return positions
    return torch.where(beyond(lengths, positions), -1, positions)
