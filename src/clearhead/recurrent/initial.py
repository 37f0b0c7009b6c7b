"""The first values of a recurrent model's weights.

Products with what a layer reads: uniform (Glorot and Bengio 2010); with its own last output: orthogonal (Saxe et al.
2013, 1312.6120), gate by gate; an LSTM's forget gate open, its bias 1 (Jozefowicz et al. 2015, section 2.2).
"""

import torch
from torch import Tensor, nn

from clearhead.recurrent.config import RecurrentConfig
from clearhead.recurrent.model import Recurrent


def new_model(config: RecurrentConfig, seed: int) -> Recurrent:
    """A model with first values, the same for the same seed."""
    model = Recurrent(config)
    initialise(model, torch.Generator().manual_seed(seed))
    return model


@torch.no_grad()
def initialise(model: Recurrent, generator: torch.Generator | None = None) -> None:
    """Draw every weight anew, in place; from torch's own generator where none is given."""
    for name, weight in model.named_parameters():
        leaf = name.rpartition(".")[2]
        if name in ("embed.weight", "head.weight"):
            nn.init.normal_(weight, std=weight.shape[1] ** -0.5, generator=generator)
        elif leaf.startswith("bias"):
            nn.init.zeros_(weight)
            if leaf.startswith("bias_ih") and model.config.cell == "lstm":
                gate(weight, 1, model.config.gates).fill_(1.0)  # torch's order: input, forget, candidate, output
        elif leaf.startswith("weight_hh"):
            for i in range(model.config.gates):
                nn.init.orthogonal_(gate(weight, i, model.config.gates), generator=generator)
        elif leaf.startswith("weight_ih"):
            for i in range(model.config.gates):
                nn.init.xavier_uniform_(gate(weight, i, model.config.gates), generator=generator)
        else:
            nn.init.xavier_uniform_(weight, generator=generator)


def gate(weight: Tensor, i: int, gates: int) -> Tensor:
    """The rows of one gate."""
    return weight.chunk(gates)[i]
