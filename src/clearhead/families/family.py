"""What one family's page has to say: its paper, and how each kind of file that carries it is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from clearhead.config import ModelConfig
from clearhead.families.fields import Fields
from clearhead.families.keys import KeyTable


class Tensor(Protocol):
    """A tensor still on disk."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def read(self) -> NDArray[np.generic]: ...


Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """How one kind of file stores models of one family.

    `types` are the values of the file's own model-type field that this page answers to. `prefix` is a module path
    that some writers put before every name and others leave out: read either way, written by `export`. `ignored` are
    regular expressions for tensors that hold no weights (masks, position indices, precomputed frequencies).
    """

    types: tuple[str, ...]
    config: Callable[[Fields, Tensors], ModelConfig]
    keys: Callable[[ModelConfig], KeyTable]
    prefix: str = ""
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """One architecture: `formats` by kind of file (`hf`, `gguf`, `ctranslate2`, `llama2c`)."""

    name: str
    paper: str
    formats: Mapping[str, Format]
    to_hf: Callable[[ModelConfig], dict[str, Any]]  # the config.json that transformers reads back
