"""What a Transformer's weights are before it has learnt anything.

Matrices are drawn so that they keep the variance of what runs through them, on average of both directions (Glorot and
Bengio 2010, equation 16). Where norms come first, every sublayer adds to a sum that none of them normalises: what
writes to it begins smaller, by the root of how many do (Radford et al. 2019, section 2.3). Where norms come after the
sum, a sublayer that says as much as what it is added to hides it, and the first thousand steps go into unlearning that:
what a sublayer passes on begins smaller (Wang et al. 2022, 2203.00555, section 3.2, the decoder's factor). Vectors of
tokens begin with length 1 where the embedding scales them up by sqrt(d_model), elsewhere small (Devlin et al. 2018);
where logits are scaled down by as much, with components of size 1 (Chowdhery et al. 2022, 2204.02311, section 5).
"""

import math

import torch
from torch import Tensor, nn

from clearhead.config import ModelConfig
from clearhead.model.transformer import Transformer

SMALL = 0.02
WRITERS = (".output.weight", ".down.weight")  # the matrices that write to the residual sum
PASSING = (".value.weight", ".up.weight", ".gate.weight", *WRITERS)  # all that a sublayer's output is a product of


def new_model(config: ModelConfig, seed: int) -> Transformer:
    """A model with weights drawn by `seed`, in float32 on the processor."""
    torch.manual_seed(seed)
    model = Transformer(config)
    for name, parameter in model.named_parameters():
        draw(name, parameter.data, config)
    return model


def draw(name: str, values: Tensor, config: ModelConfig) -> None:
    """Fill one weight."""
    if name.endswith("bias"):
        values.zero_()
    elif values.dim() < 2:
        values.fill_(1.0)
    elif name.startswith("embed.") or name == "head.projection.weight":
        values.normal_(std=length(config))
    elif "position_bias" in name:
        values.normal_(std=SMALL)
    else:
        nn.init.xavier_uniform_(values)
        deepest = max(config.n_encoder_layers, config.n_decoder_layers)
        if config.norm_placement == "pre" and name.endswith(WRITERS):
            values /= math.sqrt(2 * deepest)
        if config.norm_placement == "post" and name.endswith(PASSING):
            values *= (12 * deepest) ** -0.25


def length(config: ModelConfig) -> float:
    """The size of a component of a token's vector, which is its row of the head as well where the two are tied."""
    if config.embedding_scale != 1:
        return config.d_model**-0.5
    return SMALL if config.logit_scale == 1 else 1.0
