"""The two kinds of model that learn here, a Transformer and an RNN, in the few ways in which they differ.

Everything else sees an nn.Module with `states`, `output` and `config`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clearhead.checkpoints.export import export
from clearhead.config import ModelConfig, SpecialTokens
from clearhead.executor import Executor
from clearhead.model.executor import TorchExecutor
from clearhead.recurrent.config import RecurrentConfig
from clearhead.recurrent.executor import RecurrentExecutor
from clearhead.recurrent.folder import save_recurrent
from clearhead.recurrent.initial import new_model as new_recurrent
from clearhead.text.tokenizer import Tokenizer
from clearhead.training.models.initial import new_model as new_transformer
from clearhead.training.models.lora import A, B, low_rank


def new_model(config: ModelConfig | RecurrentConfig, seed: int) -> nn.Module:
    """A model that has learnt nothing yet."""
    return new_recurrent(config, seed) if isinstance(config, RecurrentConfig) else new_transformer(config, seed)


def config_of(model: nn.Module) -> ModelConfig | RecurrentConfig:
    """What the model is."""
    config = model.config
    assert isinstance(config, ModelConfig | RecurrentConfig)
    return config


def weights_of(model: nn.Module) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Every weight by the name that the configuration gives it; low-rank changes are merged into theirs."""
    changed = {f"{path}.weight": layer for path, layer in low_rank(model).items()}
    for name, parameter in model.named_parameters():
        if name.rpartition(".")[2] not in (A, B):
            value = changed[name].merged() if name in changed else parameter.detach()
            yield name, value.float().cpu().numpy()


def executor_of(model: nn.Module) -> Executor:
    """What generates with the model as it is now: the native executor where it is built, on a processor."""
    config = config_of(model)
    if isinstance(config, RecurrentConfig):
        return RecurrentExecutor(config, weights_of(model), "float32", "cpu")
    device = next(model.parameters()).device
    if device.type == "cpu":
        try:
            from clearhead.native.executor import NativeExecutor
            from clearhead.native.packing import pack_weights
        except ImportError:
            pass
        else:
            packed = pack_weights(config, weights_of(model), "float32")
            return NativeExecutor(config, packed, "float32", threads=torch.get_num_threads())
    return TorchExecutor(config, weights_of(model), "float32", str(device))


def save_model(
    folder: Path,
    model: nn.Module,
    special: SpecialTokens,
    tokenizer: Tokenizer | None,
    chat_template: str | None = None,
    beside: Mapping[str, str] | None = None,
) -> None:
    """A folder that `ch.load` opens; a Transformer's is one that transformers opens too. `beside` are more files of
    text by name.

    Raises:
        CheckpointError: the folder exists and is not empty.
        ConfigError: the family's config.json cannot express this configuration.
    """
    config = config_of(model)
    if isinstance(config, RecurrentConfig):
        save_recurrent(folder, config, weights_of(model), special=special, tokenizer=tokenizer, beside=beside)
    else:
        export(
            folder,
            config,
            weights_of(model),
            special=special,
            tokenizer=tokenizer,
            chat_template=chat_template,
            beside=beside,
        )
