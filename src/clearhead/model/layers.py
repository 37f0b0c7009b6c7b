"""The small layers: normalisation and the position-wise MLP.

B batch, T tokens, C d_model, F d_ff.
"""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.config import Activation, ModelConfig
from clearhead.model.context import ForwardContext
from clearhead.model.fused import hidden as fused
from clearhead.model.fused.linear import project

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,  # Hendrycks and Gimpel 2016 (1606.08415)
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "silu": F.silu,
}


def build_norm(config: ModelConfig) -> nn.Module:
    """LayerNorm (Ba et al. 2016, 1607.06450), with or without bias, or RMSNorm (Zhang et al. 2019, 1910.07467)."""
    if config.norm == "rms":
        return nn.RMSNorm(config.d_model, eps=config.norm_eps)
    return nn.LayerNorm(config.d_model, eps=config.norm_eps, bias=config.norm == "layer")


class MLP(nn.Module):
    """down(act(up(x))): equation 2 of Vaswani et al. 2017, with the activation of the family."""

    def __init__(self, config: ModelConfig, path: str) -> None:
        super().__init__()
        self.path = path
        self.name, self.activation = config.activation, ACTIVATIONS[config.activation]
        self.up = nn.Linear(config.d_model, config.d_ff, bias=config.mlp_bias)
        self.down = nn.Linear(config.d_ff, config.d_model, bias=config.mlp_bias)

    def forward(self, x: Tensor, context: ForwardContext) -> Tensor:
        """[B, T, C] -> [B, T, C]."""
        hidden = context.show(f"{self.path}.hidden", self.hidden(x, context))  # [B, T, F]
        [out] = project(context.drop(hidden, "activation"), self.down)
        return context.show(f"{self.path}.output", out)

    def hidden(self, x: Tensor, context: ForwardContext) -> Tensor:
        """[B, T, C] -> [B, T, F]."""
        [up] = project(x, self.up)
        return self.activated(up, None, context)

    def activated(self, x: Tensor, factor: Tensor | None, context: ForwardContext) -> Tensor:
        """act(x), times a factor where there is one."""
        if context.dropout is not None and fused.can_activate(x, factor):
            return fused.activated(self.name, x, factor)
        return self.activation(x) if factor is None else self.activation(x) * factor


class GatedMLP(MLP):
    """down(act(gate(x)) * up(x)): Shazeer 2020 (2002.05202)."""

    def __init__(self, config: ModelConfig, path: str) -> None:
        super().__init__(config, path)
        self.gate = nn.Linear(config.d_model, config.d_ff, bias=config.mlp_bias)

    def hidden(self, x: Tensor, context: ForwardContext) -> Tensor:
        """[B, T, C] -> [B, T, F]."""
        gate, up = project(x, self.gate, self.up)
        return self.activated(gate, up, context)


MLPS: dict[str, type[MLP]] = {"plain": MLP, "gated": GatedMLP}
