"""A model as a file describes it, whatever the kind of file: configuration, named weights, vocabulary.

Every reader returns a `Checkpoint`; `weights()` hands out each of our tensors exactly once and proves that the file
holds all of them, none twice and none that nobody asked for.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from clearhead.checkpoints.stored import Array, Blocks, StoredTensor
from clearhead.config import ModelConfig, SpecialTokens
from clearhead.errors import CheckpointError
from clearhead.families.family import Format
from clearhead.families.keys import Mapped, expand
from clearhead.families.layout import Layout, is_matrix, layout
from clearhead.text.tokenizer import Tokenizer

Pooling = Literal["mean", "first", "last"]


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Checkpoint:
    """What a reader found. Tensors carry the file's own names; `format` translates them."""

    source: Path
    config: ModelConfig
    format: Format
    tensors: Mapping[str, StoredTensor]
    special: SpecialTokens
    tokenizer: Callable[[], Tokenizer] | None = None  # None: the file carries no vocabulary
    chat_template: str | None = None
    pooling: Pooling = "mean"  # how an encoder's states become one vector of a text
    generation: Mapping[str, Any] = field(
        default_factory=dict
    )  # the file's own preferences (num_beams, temperature ...)

    def __repr__(self) -> str:
        """One line: a vocabulary or a table of tensors is no answer to what this is."""
        return f"<checkpoint {self.source.name}: {self.config.family} {self.config.kind}, {len(self.tensors)} tensors>"

    def weights(self) -> Iterator[tuple[str, Array]]:
        """Our name and values of every weight, each read when its turn comes, the largest first: what a tensor takes
        beside its final form adds little to the peak while most of the model is still unread.

        Raises:
            CheckpointError: a tensor that is missing, unknown, repeated or of the wrong shape, by name.
        """
        return cast(Iterator[tuple[str, Array]], self.stored_weights())  # no type is raw

    def stored_weights(self, raw: Callable[[str], bool] = lambda _: False) -> Iterator[tuple[str, Array | Blocks]]:
        """The same, except that a quantised matrix whose type `raw` accepts comes as the blocks that the file stores.

        Raises:
            CheckpointError: as above.
        """
        shapes = layout(self.config)
        pairs = match(self, expand(self.format.keys(self.config), shapes, self.config))
        for stored, row in sorted(pairs, key=lambda pair: math.prod(pair[0].shape), reverse=True):
            if stored.raw is not None and raw(stored.dtype) and keeps_rows(row, shapes):
                yield from blocks(self, stored, row, shapes)
            else:
                yield from parts(self, stored, row, shapes)  # which lets go of one tensor before the next is read
            stored.release()


def keeps_rows(row: Mapped, shapes: Layout) -> bool:
    """Whether our tensors are matrices of whole rows of the file's one, which its blocks then are too."""
    return row.operation.by_rows and all(is_matrix(t, shapes[t]) for t in row.targets)


def blocks(checkpoint: Checkpoint, stored: StoredTensor, row: Mapped, shapes: Layout) -> Iterator[tuple[str, Blocks]]:
    """Our tensors in one of the file's, as its quantised rows."""
    assert stored.raw is not None
    expected = [shapes[t] for t in row.targets]
    if row.copy:
        return
    found = row.operation.split(stored.raw(), expected, checkpoint.config)
    if stored.shape[1:] != expected[0][1:] or [len(part) for part in found] != [shape[0] for shape in expected]:
        for _ in parts(checkpoint, stored, row, shapes):  # which names the tensor, and what is wrong with its shape
            pass
    for target, part in zip(row.targets, found, strict=True):
        yield target, Blocks(stored.dtype, shapes[target], part)


def parts(checkpoint: Checkpoint, stored: StoredTensor, row: Mapped, shapes: Layout) -> Iterator[tuple[str, Array]]:
    """Our tensors in one of the file's."""
    array = stored.read()
    found = row.operation.split(array, [shapes[t] for t in row.targets], checkpoint.config)
    for target, part in zip(row.targets, found, strict=True):
        if part.shape != shapes[target]:
            raise CheckpointError(
                f"{checkpoint.source.name}: {stored.name} {list(array.shape)} gives {target} the shape "
                f"{list(part.shape)}; its configuration calls for {list(shapes[target])}"
            )
        if not row.copy:
            yield target, part


def match(checkpoint: Checkpoint, rows: Mapping[str, Mapped]) -> list[tuple[StoredTensor, Mapped]]:
    """Pair every stored tensor with its row, and prove that the pairing is complete."""
    where, form = checkpoint.source.name, checkpoint.format
    pairs, unknown = [], []
    supplied: dict[str, str] = {}
    for name, stored in checkpoint.tensors.items():
        current = form.current(name)
        row = rows.get(current) or rows.get(form.prefix + current)
        if row is None:
            if not any(re.fullmatch(pattern, name) for pattern in form.ignored):
                unknown.append(name)
            continue
        for target in () if row.copy else row.targets:
            if target in supplied:
                raise CheckpointError(f"{where}: {supplied[target]} and {name} both supply {target}; one must go")
            supplied[target] = name
        pairs.append((stored, row))
    if unknown:
        raise CheckpointError(f"{where}: unknown {some(unknown)}; its configuration has no place for it")
    if missing := [t for t in layout(checkpoint.config) if t not in supplied]:
        sources = {t: row.source for row in rows.values() if not row.copy for t in row.targets}
        raise CheckpointError(f"{where}: missing {some([sources.get(t, t) for t in missing])}; the file is incomplete")
    check_copies(checkpoint, pairs)
    return pairs


def check_copies(checkpoint: Checkpoint, pairs: list[tuple[StoredTensor, Mapped]]) -> None:
    """A second copy of a shared tensor must hold the same numbers; otherwise the configuration's tying is wrong."""
    originals = {row.targets[0]: stored for stored, row in pairs if not row.copy}
    for stored, row in pairs:
        if row.copy and not np.array_equal(stored.read(), originals[row.targets[0]].read()):
            raise CheckpointError(
                f"{checkpoint.source.name}: {stored.name} differs from {originals[row.targets[0]].name}, though the "
                "configuration ties them; set tie_word_embeddings to false if they are meant to differ"
            )


def some(names: list[str]) -> str:
    """A list a person can read: the first few names and how many more."""
    shown = ", ".join(names[:3])
    word = "tensor" if len(names) == 1 else "tensors"
    return f"{word} {shown}" if len(names) <= 3 else f"{word} {shown} and {len(names) - 3} more"
