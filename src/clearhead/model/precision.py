"""The type that activations have where a caller asked torch to compute in fewer bits than parameters are kept in.

Micikevicius et al. 2017 (1710.03740): parameters, gradients and their sums stay float32; products are formed in fewer
bits. torch's autocast turns to bfloat16 within products alone; the sum that runs through a stack, which every norm and
every residual reads and writes, would stay float32 and be turned around twice in each sublayer.
"""

import torch
from torch import Tensor


def working(x: Tensor) -> Tensor:
    """x in autocast's type where that is on, else as it is."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x
