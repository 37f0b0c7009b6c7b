"""A loaded model as the beginning of a run: its weights to go on from, its vocabulary, and what the task adds.

Whatever `clearhead.load` reads can be a base: its weights are made float32 (quantised ones are dequantised), for small
steps would be lost in less. Only a head that the task needs and the model lacks is drawn anew, by the recipe's seed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clearhead.checkpoints.catalogue import Progress, resolve
from clearhead.checkpoints.checkpoint import Checkpoint
from clearhead.checkpoints.opening import is_recurrent, open_checkpoint
from clearhead.config import ModelConfig, SpecialTokens
from clearhead.errors import ConfigError, TokenizerError
from clearhead.families.layout import layout
from clearhead.model.loading import build
from clearhead.recurrent.config import RecurrentConfig
from clearhead.recurrent.folder import RecurrentCheckpoint, open_recurrent
from clearhead.recurrent.loading import build as build_recurrent
from clearhead.text.tokenizer import Tokenizer
from clearhead.training.models.heads import for_task
from clearhead.training.models.initial import draw
from clearhead.training.models.lora import add_lora
from clearhead.training.recipe.recipe import WINDOWED, Recipe
from clearhead.training.tasks.tasks import Language
from clearhead.trees.stored import TREES, read_scheme

Weights = Iterator[tuple[str, NDArray[np.float32]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """A model to start from, its weights unread."""

    name: str
    checkpoint: Checkpoint | RecurrentCheckpoint

    @property
    def config(self) -> ModelConfig | RecurrentConfig:
        """As the file has it."""
        return self.checkpoint.config


def open_base(name: str, *, offline: bool = False, progress: Progress | None = None) -> Base:
    """A model by catalogue name, Hugging Face id, folder or file, fetched on first use.

    Raises:
        UnknownModelError, DownloadError, CheckpointError, ConfigError: as `clearhead.load`.
    """
    path = resolve(name, offline=offline, progress=progress)
    return Base(name=name, checkpoint=open_recurrent(path) if is_recurrent(path) else open_checkpoint(path))


def language_of(base: Base) -> Language:
    """The vocabulary that the base reads, with its special tokens, labels, chat template and context window.

    Raises:
        TokenizerError: the file carries no vocabulary.
    """
    checkpoint = base.checkpoint
    if checkpoint.tokenizer is None:
        raise TokenizerError(f"{base.name} carries no vocabulary, and what it learns from is text; add tokenizer.json")
    tokenizer = checkpoint.tokenizer()
    return Language(
        tokenizer=tokenizer,
        special=with_mask(checkpoint, tokenizer),
        labels=checkpoint.config.labels if isinstance(checkpoint.config, ModelConfig) else (),
        template=checkpoint.chat_template,
        window=checkpoint.config.max_positions,
        scheme=read_scheme(checkpoint.source) if (checkpoint.source / TREES).is_file() else None,
    )


def with_mask(checkpoint: Checkpoint | RecurrentCheckpoint, tokenizer: Tokenizer) -> SpecialTokens:
    """The special tokens, with the mask that a vocabulary may have though the model's own head does not use it."""
    if checkpoint.special.mask is not None or not checkpoint.source.is_dir():
        return checkpoint.special
    from clearhead.text.settings import special_tokens

    return replace(checkpoint.special, mask=special_tokens(checkpoint.source, tokenizer).mask)


def fine_tunable(recipe: Recipe, base: Base, labels: tuple[str, ...] = ()) -> nn.Module:
    """The base as a model that learns the recipe's task, in float32 on the processor: all of it, or with `recipe.lora`
    low-rank changes and a head of its own.

    Raises:
        ConfigError: a base that the task cannot use, or windows longer than it reads.
        CheckpointError: weights that are damaged or incomplete.
    """
    config, t = base.config, recipe.training
    if recipe.task in WINDOWED and t.context > config.max_positions:
        raise ConfigError(f"training.context is {t.context}; {recipe.base} reads at most {config.max_positions} tokens")
    torch.manual_seed(recipe.seed)
    checkpoint = base.checkpoint
    if isinstance(checkpoint, RecurrentCheckpoint):
        if recipe.lora is not None:
            raise ConfigError(f"lora changes a Transformer, and {recipe.base} is recurrent; leave lora out")
        needed = for_task(checkpoint.config, recipe.task)
        return build_recurrent(needed, copies(checkpoint.weights()), "float32", "cpu").requires_grad_(True)
    needed_config = for_task(checkpoint.config, recipe.task, labels)
    kept = keeps(checkpoint.config, needed_config)
    model = build(needed_config, completed(checkpoint, needed_config, kept), "float32", "cpu").requires_grad_(True)
    if recipe.lora is not None:
        add_lora(model, recipe.lora, anew=[name for name in layout(needed_config) if name not in kept])
    return model


def keeps(old: ModelConfig, new: ModelConfig) -> frozenset[str]:
    """Names of the weights that go on from those of the file; a head of other outputs begins anew as a whole."""
    same_head = (old.head, old.labels) == (new.head, new.labels)
    return frozenset(
        name for name in layout(new) if name in layout(old) and (same_head or not name.startswith("head."))
    )


def completed(checkpoint: Checkpoint, config: ModelConfig, kept: frozenset[str]) -> Weights:
    """Every weight of `config`: those kept from the file, then the others, drawn in the order of the layout."""
    yield from copies((name, array) for name, array in checkpoint.weights() if name in kept)
    for name, shape in layout(config).items():
        if name not in kept:
            values = torch.empty(shape)
            draw(name, values, config)
            yield name, values.numpy()


def copies(weights: Iterator[tuple[str, NDArray[np.generic]]]) -> Weights:
    """The same in float32 and in memory of their own: training writes to them, and a file is mapped."""
    return ((name, np.array(array, dtype=np.float32)) for name, array in weights)
