"""The names checkpoints give to the activation functions of the MLP."""

from clearhead.config import Activation

ACTIVATIONS: dict[str, Activation] = {
    "relu": "relu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "silu": "silu",
    "swish": "silu",
}
"""Transformers' names -> ours. Its `gelu_fast` rounds one constant differently from `gelu_new`; it is not read."""

HF_NAMES: dict[Activation, str] = {"relu": "relu", "gelu": "gelu", "gelu_tanh": "gelu_new", "silu": "silu"}
