"""What one family's page has to say: its paper, and how each kind of file that carries it is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
    regular expressions for tensors that hold no weights (masks, position indices, precomputed frequencies), or those
    of a training task that is not computed here. `older` maps endings of names that early writers used to today's.
    """

    types: tuple[str, ...]
    config: Callable[[Fields, Tensors], ModelConfig]
    keys: Callable[[ModelConfig], KeyTable]
    prefix: str = ""
    ignored: tuple[str, ...] = ()
    older: Mapping[str, str] = field(default_factory=dict)

    def current(self, name: str) -> str:
        """A tensor's name as it is written today."""
        ending = next((ending for ending in self.older if name.endswith(ending)), "")
        return name.removesuffix(ending) + self.older[ending] if ending else name


def always_hf(_config: ModelConfig) -> str:
    """The default for `written`."""
    return "hf"


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """One architecture: `formats` by kind of file (`hf`, `gguf`, `ctranslate2`, `llama2c`).

    A variant with names of its own is one more kind, with a hyphen: `hf-distilbert`. `written` says in which of the
    `hf` kinds a configuration is exported.
    """

    name: str
    paper: str
    formats: Mapping[str, Format]
    to_hf: Callable[[ModelConfig], dict[str, Any]]  # the config.json that transformers reads back
    written: Callable[[ModelConfig], str] = always_hf
