r"""The one Transformer block.

        pre                        post                       parallel

     x ----------.              x ----------.              x ------.--------.
     |           |              |           |              |       |        |
    norm         |           attention      |              |      norm      |
     |           |              |           |              |     /    \     |
   attention     |              + <---------'              |  attn    mlp   |
     |           |              |                          |     \    /     |
     + <---------'             norm                        + <----+---------'
     |                          |
   the same again with mlp    the same again with mlp

GPT-2, LLaMA, T5 and BLOOM norm before each sublayer, the Transformer of 2017 and BERT after it, PaLM runs both
sublayers on one norm. A decoder with an encoder beside it has cross-attention between the two sublayers.

B batch, T tokens, C d_model.
"""

from collections.abc import Callable

from torch import Tensor, nn

from clearhead.config import ModelConfig
from clearhead.model.attention import Attention, CrossAttention
from clearhead.model.context import ForwardContext
from clearhead.model.layers import MLPS, build_norm

Sublayer = Callable[[Tensor, ForwardContext], Tensor]
Residual = Callable[[Tensor, Callable[[Tensor], Tensor], Sublayer, ForwardContext], Tensor]


def pre_norm(x: Tensor, norm: Callable[[Tensor], Tensor], sublayer: Sublayer, context: ForwardContext) -> Tensor:
    """x + f(norm(x)): Xiong et al. 2020 (2002.04745)."""
    x, normed = context.branch(x, norm)
    return context.join(x, sublayer(normed, context))


def post_norm(x: Tensor, norm: Callable[[Tensor], Tensor], sublayer: Sublayer, context: ForwardContext) -> Tensor:
    """norm(x + f(x)): Vaswani et al. 2017, section 3.1."""
    return context.join(x, sublayer(x, context), norm)


RESIDUALS: dict[str, Residual] = {"pre": pre_norm, "post": post_norm}


class Block(nn.Module):
    """What every block has: a norm, attention and an MLP. How they join is the subclass's."""

    def __init__(self, config: ModelConfig, path: str) -> None:
        super().__init__()
        self.path = path
        self.attention_norm = build_norm(config)
        self.attention = Attention(config, f"{path}.attention")
        self.mlp = MLPS[config.mlp](config, f"{path}.mlp")

    def forward(self, x: Tensor, context: ForwardContext) -> Tensor:
        """[B, T, C] -> [B, T, C]."""
        x = self.sublayers(context.show(f"{self.path}.input", x), context)
        return context.show(f"{self.path}.output", x)

    def sublayers(self, x: Tensor, context: ForwardContext) -> Tensor:
        """[B, T, C] -> [B, T, C]."""
        raise NotImplementedError


class SequentialBlock(Block):
    """Attention, then MLP, each with its norm and residual."""

    def __init__(self, config: ModelConfig, path: str) -> None:
        super().__init__(config, path)
        self.residual = RESIDUALS[config.norm_placement]
        self.mlp_norm = build_norm(config)

    def sublayers(self, x: Tensor, context: ForwardContext) -> Tensor:
        """[B, T, C] -> [B, T, C]: Figure 1 of Vaswani et al. 2017, left."""
        x = self.residual(x, self.attention_norm, self.attention, context)
        return self.residual(x, self.mlp_norm, self.mlp, context)


class CrossBlock(SequentialBlock):
    """A block that also looks at the encoder's output."""

    def __init__(self, config: ModelConfig, path: str) -> None:
        super().__init__(config, path)
        self.cross_attention_norm = build_norm(config)
        self.cross_attention = CrossAttention(config, f"{path}.cross_attention")

    def sublayers(self, x: Tensor, context: ForwardContext) -> Tensor:
        """[B, T, C] -> [B, T, C]: Figure 1 of Vaswani et al. 2017, right."""
        x = self.residual(x, self.attention_norm, self.attention, context)
        x = self.residual(x, self.cross_attention_norm, self.cross_attention, context)
        return self.residual(x, self.mlp_norm, self.mlp, context)


class ParallelBlock(Block):
    """Attention and MLP side by side on one norm: Chowdhery et al. 2022, section 2."""

    def sublayers(self, x: Tensor, context: ForwardContext) -> Tensor:
        """[B, T, C] -> [B, T, C]."""
        x, normed = context.branch(x, self.attention_norm)
        return context.join(x, self.attention(normed, context) + self.mlp(normed, context))


def build_block(config: ModelConfig, path: str, *, cross: bool) -> Block:
    """The block this configuration asks for."""
    if cross:
        return CrossBlock(config, path)
    return ParallelBlock(config, path) if config.residual == "parallel" else SequentialBlock(config, path)
