"""A folder that holds a recurrent model: config.json, model.safetensors and a vocabulary; it is read without torch.

The folder appears whole or not at all, and gives every weight exactly once: missing, unknown and misshapen tensors are
errors that name them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from clearhead.checkpoints.checkpoint import Pooling, some
from clearhead.checkpoints.export import DTYPES, cast, new_folder, special_entries, write_json
from clearhead.checkpoints.folder import read_json, read_tensors, special_tokens, tokenizer_of
from clearhead.checkpoints.opening import RECURRENT
from clearhead.checkpoints.stored import Array, StoredTensor
from clearhead.config import SpecialTokens
from clearhead.errors import CheckpointError, ConfigError, OptionError
from clearhead.families.fields import Fields
from clearhead.families.layout import Layout
from clearhead.recurrent.config import RecurrentConfig, from_json, to_json
from clearhead.recurrent.layout import layout
from clearhead.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class RecurrentCheckpoint:
    """What a folder holds, with what `Model` reads of a `Checkpoint`."""

    source: Path
    config: RecurrentConfig
    tensors: Mapping[str, StoredTensor]
    special: SpecialTokens
    tokenizer: Callable[[], Tokenizer] | None = None  # None: the folder carries no vocabulary
    chat_template: None = None
    pooling: Pooling = "mean"
    generation: Mapping[str, Any] = field(default_factory=dict)  # such a folder has no preferences

    def __repr__(self) -> str:
        """One line."""
        return f"<checkpoint {self.source.name}: {self.config.cell} {self.config.kind}, {len(self.tensors)} tensors>"

    def weights(self) -> Iterator[tuple[str, Array]]:
        """Name and values of every weight, each read when its turn comes.

        Raises:
            CheckpointError: a tensor that is missing, unknown or of the wrong shape, by name.
        """
        check_shapes(self.source.name, {name: t.shape for name, t in self.tensors.items()}, layout(self.config))
        return ((name, tensor.read()) for name, tensor in self.tensors.items())


def open_recurrent(folder: Path) -> RecurrentCheckpoint:
    """The recurrent model in `folder`; its weights are read when they are asked for.

    Raises:
        CheckpointError: a file that is missing, damaged or pickled.
        ConfigError: a config.json that describes no recurrent model.
    """
    raw = read_json(folder / "config.json")
    fields = Fields(raw, f"{folder.name}/config.json")
    if (kind := fields.text("model_type")) != RECURRENT:
        raise ConfigError(f"{fields.where}: model_type is {kind!r}; a recurrent model's is {RECURRENT!r}")
    config = from_json(fields)
    return RecurrentCheckpoint(
        source=folder,
        config=config,
        tensors=read_tensors(folder),
        special=special_tokens(raw, {}, config.vocab_size),
        tokenizer=tokenizer_of(folder),
    )


def save_recurrent(
    folder: Path,
    config: RecurrentConfig,
    weights: Iterable[tuple[str, Array]],
    *,
    dtype: str = "float32",
    special: SpecialTokens = SpecialTokens(),  # noqa: B008  frozen
    tokenizer: Tokenizer | None = None,
    beside: Mapping[str, str] | None = None,
) -> None:
    """Write config.json, model.safetensors, and the vocabulary where given, into a new `folder`. `beside` are more
    files of text by name.

    Raises:
        CheckpointError: the folder exists and is not empty, or a weight is missing, unknown or misshapen.
        OptionError: an unknown dtype, or one too narrow for a weight.
    """
    if dtype not in DTYPES:
        raise OptionError(f"dtype {dtype!r} cannot be saved; choose from {', '.join(DTYPES)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{folder} exists and is not empty; name a new folder")
    tensors = {name: np.ascontiguousarray(cast(name, array, dtype)) for name, array in weights}
    check_shapes(folder.name, {name: array.shape for name, array in tensors.items()}, layout(config))
    with new_folder(folder) as draft:
        from safetensors.numpy import save_file

        described = {"model_type": RECURRENT, **to_json(config), **special_entries(special), "dtype": dtype}
        write_json(draft / "config.json", described)
        save_file(tensors, draft / "model.safetensors", metadata={"format": "pt"})
        (draft / "model.safetensors").chmod((draft / "config.json").stat().st_mode)  # the library leaves it private
        if tokenizer is not None:
            tokenizer.save(draft)
        for name, text in (beside or {}).items():
            (draft / name).write_text(text, encoding="utf-8")


def check_shapes(where: str, found: Layout, expected: Layout) -> None:
    """Refuse weights other than those the configuration calls for.

    Raises:
        CheckpointError: which are missing or unknown, or the first of another shape.
    """
    if unknown := [name for name in found if name not in expected]:
        raise CheckpointError(f"{where}: unknown {some(unknown)}; its configuration has no place for it")
    if missing := [name for name in expected if name not in found]:
        raise CheckpointError(f"{where}: missing {some(missing)}; the file is incomplete")
    for name, shape in expected.items():
        if found[name] != shape:
            raise CheckpointError(
                f"{where}: {name} has the shape {list(found[name])}; its configuration calls for {list(shape)}"
            )
