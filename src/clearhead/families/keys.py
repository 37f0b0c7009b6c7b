"""Tables between a checkpoint's module paths and ours, readable in both directions.

A row maps one module path of the checkpoint to one of ours; `.weight` and `.bias` ride along, and `{}` stands for the
layer index. Where the checkpoint fuses or rearranges what we keep apart, the row says how, and each such operation has
its inverse, so that the table that imports a model also exports it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from clearhead.config import ModelConfig
from clearhead.families.layout import Layout, Shape

Array = NDArray[Any]
LEAVES = (".weight", ".bias", "")


class Operation(Protocol):
    """How one tensor of a checkpoint becomes ours, and back; `by_rows` if it moves whole rows, whatever is in them."""

    by_rows: ClassVar[bool]

    def split(self, array: Array, shapes: Sequence[Shape], config: ModelConfig) -> list[Array]:
        """The checkpoint's tensor as our tensors of these shapes."""

    def join(self, arrays: Sequence[Array], config: ModelConfig) -> Array:
        """Our tensors as the checkpoint's one."""


@dataclass(frozen=True, slots=True)
class Same:
    """The tensor as it is."""

    by_rows: ClassVar[bool] = True

    def split(self, array: Array, shapes: Sequence[Shape], config: ModelConfig) -> list[Array]:
        return [array]

    def join(self, arrays: Sequence[Array], config: ModelConfig) -> Array:
        return arrays[0]


@dataclass(frozen=True, slots=True)
class Stacked:
    """Several projections of the same input, one below the other."""

    by_rows: ClassVar[bool] = True

    def split(self, array: Array, shapes: Sequence[Shape], config: ModelConfig) -> list[Array]:
        ends = np.cumsum([shape[0] for shape in shapes])
        return list(np.split(array, ends[:-1])) if ends[-1] == len(array) else [array] * len(shapes)

    def join(self, arrays: Sequence[Array], config: ModelConfig) -> Array:
        return np.concatenate(arrays)


@dataclass(frozen=True, slots=True)
class Transposed:
    """GPT-2's Conv1D stores [columns in, rows out]; several projections may stand side by side."""

    by_rows: ClassVar[bool] = False

    def split(self, array: Array, shapes: Sequence[Shape], config: ModelConfig) -> list[Array]:
        return Stacked().split(array.T, shapes, config)

    def join(self, arrays: Sequence[Array], config: ModelConfig) -> Array:
        return np.concatenate(arrays).T


@dataclass(frozen=True, slots=True)
class HeadInterleaved:
    """BLOOM stores query, key and value of one head together: [H, 3, D, ...]."""

    by_rows: ClassVar[bool] = True

    def split(self, array: Array, shapes: Sequence[Shape], config: ModelConfig) -> list[Array]:
        c = config
        if len(array) != 3 * c.n_heads * c.head_dim:
            return [array] * 3  # let the shape check name the tensor
        grouped = array.reshape(c.n_heads, 3, c.head_dim, *array.shape[1:])
        return [grouped[:, part].reshape(-1, *array.shape[1:]) for part in range(3)]

    def join(self, arrays: Sequence[Array], config: ModelConfig) -> Array:
        heads = [a.reshape(config.n_heads, config.head_dim, *a.shape[1:]) for a in arrays]
        return np.stack(heads, axis=1).reshape(-1, *arrays[0].shape[1:])


@dataclass(frozen=True, slots=True)
class RotaryPairs:
    """Rows of one head ordered by rotated pair [D/2, 2], where ours are first halves then second halves [2, D/2].

    The pairing of the original LLaMA release (and of GGUF and llama2.c files made from it): there rotary turns
    neighbours (2i, 2i + 1), here it turns (i, i + D/2). Reordering the rows of query and key makes them the same.
    """

    by_rows: ClassVar[bool] = True

    def split(self, array: Array, shapes: Sequence[Shape], config: ModelConfig) -> list[Array]:
        return [self._swap(array, (config.head_dim // 2, 2), config)]

    def join(self, arrays: Sequence[Array], config: ModelConfig) -> Array:
        return self._swap(arrays[0], (2, config.head_dim // 2), config)

    @staticmethod
    def _swap(array: Array, order: tuple[int, int], config: ModelConfig) -> Array:
        if len(array) % config.head_dim:
            return array
        pairs = array.reshape(-1, *order, *array.shape[1:])
        return pairs.swapaxes(1, 2).reshape(array.shape)


@dataclass(frozen=True, slots=True)
class Flat:
    """A row vector [1, n] where ours is [n]."""

    by_rows: ClassVar[bool] = False

    def split(self, array: Array, shapes: Sequence[Shape], config: ModelConfig) -> list[Array]:
        return [array.reshape(-1)]

    def join(self, arrays: Sequence[Array], config: ModelConfig) -> Array:
        return arrays[0][None]


@dataclass(frozen=True, slots=True)
class Row:
    """Our module paths for one of the checkpoint's, and how the tensor is rearranged between them."""

    targets: tuple[str, ...]
    operation: Operation = field(default_factory=Same)


@dataclass(frozen=True, slots=True)
class Copy:
    """A tensor some files store a second time: never needed, and refused if it differs from our `target`.

    It is exported where the other side would look for it in vain (`written`).
    """

    target: str
    written: bool = False


KeyTable = Mapping[str, str | Row | Copy]


@dataclass(frozen=True, slots=True)
class Mapped:
    """One expected tensor of a checkpoint: its name there, ours, and the operation between."""

    source: str
    targets: tuple[str, ...]
    operation: Operation
    copy: bool = False
    written: bool = True  # by an export


def qkv(path: str) -> tuple[str, ...]:
    """The three projections of one attention module."""
    return f"{path}.query", f"{path}.key", f"{path}.value"


def head(config: ModelConfig) -> str | Copy:
    """The row of a language-model head: its own projection, or the token embedding once more."""
    return Copy("embed.tokens") if config.tied else "head.projection"


def expand(table: KeyTable, shapes: Layout, config: ModelConfig) -> dict[str, Mapped]:
    """The table written out: every tensor name the checkpoint may hold for exactly this model.

    Rows whose targets this model does not have drop out, so a tensor of a part that the configuration excludes is
    reported as unknown rather than skipped.
    """
    n_layers = max(config.n_encoder_layers, config.n_decoder_layers)
    expanded: dict[str, Mapped] = {}
    for path, entry in table.items():
        copy = entry if isinstance(entry, Copy) else None
        row = entry if isinstance(entry, Row) else Row((entry if isinstance(entry, str) else entry.target,))
        written = copy is None or copy.written
        for index in range(n_layers) if "{}" in path else (0,):
            for leaf in LEAVES:
                source = path.replace("{}", str(index)) + leaf
                targets = tuple(t.replace("{}", str(index)) + leaf for t in row.targets)
                if all(t in shapes for t in targets):
                    expanded[source] = Mapped(source, targets, row.operation, copy is not None, written)
    return expanded
