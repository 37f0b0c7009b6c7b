"""How much arithmetic a step is, and how much this machine could do: model FLOP utilisation (Chowdhery et al. 2022,
appendix B)."""

import math
from time import perf_counter

import torch
from torch import nn

from clearhead.config import ModelConfig

FORWARD_AND_BACKWARD = 6  # a multiplication and an addition for each weight and token; the way back costs twice as much
SIDE, SIDE_ON_A_GPU = 512, 4096  # of the square matrices that the peak is measured with: on a processor so small that
# one product is often over before another process has its turn, on a GPU so large that starting it costs nothing


def per_token(model: nn.Module, context: float) -> float:
    """Operations for each scored token, with `context` tokens to attend to; source and target are taken to be equally
    long. Where every row is read twice, its tokens are scored twice."""
    table = [p for name, p in model.named_parameters() if p.dim() >= 2 and not looked_up(name, model)]
    weights = sum(p.numel() for p in table)
    config = model.config
    attention = 0.0
    if isinstance(config, ModelConfig):
        layers = config.n_encoder_layers + config.n_decoder_layers * (2 if config.kind == "encoder-decoder" else 1)
        attention = 2 * FORWARD_AND_BACKWARD * layers * config.n_heads * config.head_dim * context
    return FORWARD_AND_BACKWARD * weights + attention


def looked_up(name: str, model: nn.Module) -> bool:
    """Whether a table is read row by row: it costs nothing, unless the head is tied to it."""
    tied = getattr(model.config, "tied", False) and getattr(model.config, "head", "lm") in ("lm", "mlm")
    return name.startswith("embed") and not (tied and "tokens" in name)


def peak(device: torch.device, precision: str, seconds: float = 0.3) -> float:
    """Operations per second in products of matrices, measured here and now: the best of many."""
    side = SIDE if device.type == "cpu" else SIDE_ON_A_GPU
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    a, b = (torch.ones(side, side, dtype=kind, device=device) for _ in range(2))
    best, until = math.inf, perf_counter() + seconds
    while perf_counter() < until:
        began = perf_counter()
        (a @ b)[0, 0].item()
        best = min(best, perf_counter() - began)
    return 2 * side**3 / best
