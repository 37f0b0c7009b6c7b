"""An adapter's folder, as `adapters.py` or peft writes it, merged into the model it was learnt for; no torch is needed.

What peft scales by alpha / r is read so, its rank and alpha patterns by the names of layers, and rsLoRA's
alpha / sqrt(r) (Kalajdzievski 2023, 2312.03732). Other kinds of adapter are refused by what they are.

I columns in, O rows out, r rank.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearhead import families
from clearhead.checkpoints.catalogue import resolve
from clearhead.checkpoints.checkpoint import Checkpoint
from clearhead.checkpoints.export import export
from clearhead.checkpoints.folder import open_safetensors, read_json
from clearhead.checkpoints.opening import open_checkpoint
from clearhead.config import ModelConfig
from clearhead.errors import CheckpointError
from clearhead.families.keys import Mapped
from clearhead.families.layout import layout
from clearhead.training.models.adapters import LABELS, ROOT, SETTINGS, TENSORS, Array, Pair, hf_rows, module_of
from clearhead.training.models.heads import with_head
from clearhead.training.models.lora import ends

UNREAD = ("use_dora", "layer_replication", "lora_bias", "target_parameters")  # under these, W + B A is not all
NAME = re.compile(r"[\w.]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Adapter:
    """A folder's settings, and its tensors by transformers' names without what peft writes before them."""

    name: str
    settings: Mapping[str, Any]
    tensors: Mapping[str, Array]
    labels: tuple[str, ...]

    def scale(self, module: str, rank: int) -> float:
        """What B A of a layer is multiplied with.

        Raises:
            CheckpointError: settings that say no number.
        """
        patterns = self.settings.get("alpha_pattern") or {}
        if odd := [key for key in patterns if not NAME.fullmatch(key)]:
            raise CheckpointError(f"{self.name}: alpha_pattern has {odd[0][:40]!r}; only names of layers are read")
        alpha = next((a for key, a in patterns.items() if ends(module, key)), self.settings.get("lora_alpha"))
        if not isinstance(alpha, int | float) or isinstance(alpha, bool):
            raise CheckpointError(f"{self.name}: lora_alpha is {alpha!r}; it must be a number")
        return float(alpha) / (rank**0.5 if self.settings.get("use_rslora") else rank)


def read_adapter(folder: Path) -> Adapter:
    """What is in an adapter's folder.

    Raises:
        CheckpointError: a file that is missing or damaged, or an adapter that is not LoRA's plain kind.
    """
    read = read_json(folder / SETTINGS)
    kind, bias = read.get("peft_type"), read.get("bias", "none")
    if kind != "LORA" or bias != "none":
        raise CheckpointError(f"{folder.name} is of type {kind!r} with bias {bias!r}; LoRA without biases is read")
    if other := [key for key in UNREAD if read.get(key)]:
        raise CheckpointError(f"{folder.name}: {other[0]} is {read[other[0]]!r}; LoRA without it is read")
    if not (folder / TENSORS).is_file():
        raise CheckpointError(
            f"{folder.name}: there is no {TENSORS}; have peft write safetensors, which is its default"
        )
    tensors = {t.name.removeprefix(ROOT): t.read() for t in open_safetensors(folder / TENSORS)}
    return Adapter(name=folder.name, settings=read, tensors=tensors, labels=labels_of(folder))


def labels_of(folder: Path) -> tuple[str, ...]:
    """What a head in the adapter scores; none where there is no head."""
    path = folder / LABELS
    if not path.is_file():
        return ()
    try:
        labels = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as e:
        raise CheckpointError(f"{folder.name}/{LABELS} cannot be read: {e}") from None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise CheckpointError(f"{folder.name}/{LABELS} is no list of labels")
    return tuple(labels)


def merge_adapter(
    adapter: Path, base: str | Path, folder: Path, *, dtype: str = "float32", offline: bool = False
) -> None:
    """Write the model that `adapter` makes of `base` (a catalogue name, Hugging Face id, folder or file) into a new
    `folder`, which `clearhead.load` and transformers open.

    Raises:
        CheckpointError: an adapter that is damaged, of another model or not plain LoRA; a folder that is not empty.
        UnknownModelError, DownloadError, ConfigError: the base cannot be opened.
        OptionError: an unknown dtype.
    """
    learnt = read_adapter(adapter)
    checkpoint = open_checkpoint(resolve(base, offline=offline))
    config = with_head(checkpoint.config, "token_labels", learnt.labels) if learnt.labels else checkpoint.config
    export(
        folder,
        config,
        merged(checkpoint, config, learnt),
        dtype=dtype,
        special=checkpoint.special,
        tokenizer=None if checkpoint.tokenizer is None else checkpoint.tokenizer(),
        chat_template=checkpoint.chat_template,
    )


def merged(checkpoint: Checkpoint, config: ModelConfig, adapter: Adapter) -> Iterator[tuple[str, Array]]:
    """Our weights of the base with the changes in them, and those that the adapter has as a whole."""
    whole, pairs = sorted_out(config, adapter)
    for name, array in checkpoint.weights():
        if name in pairs:
            yield name, changed(array, *pairs[name])
        elif name in layout(config) and name not in whole:
            yield name, array
    yield from whole.items()


def changed(weight: Array, a: Array, b: Array) -> NDArray[np.float32]:
    """W + B A of W [O, I], rounded once."""
    wide: NDArray[np.float64] = weight.astype(np.float64) + b.astype(np.float64) @ a.astype(np.float64)
    return wide.astype(np.float32)


def sorted_out(config: ModelConfig, adapter: Adapter) -> tuple[dict[str, Array], dict[str, Pair]]:
    """An adapter's tensors as ours: those of whole weights, and A and B, scaled, of each changed one.

    Raises:
        CheckpointError: a tensor that the model has no place for, or of another shape.
    """
    left = dict(adapter.tensors)
    whole: dict[str, Array] = {}
    pairs: dict[str, Pair] = {}
    prefix = families.of(config).formats["hf"].prefix
    for row in hf_rows(config):
        for source in dict.fromkeys((row.source, row.source.removeprefix(prefix))):  # some leave the prefix out
            module = source.removesuffix(".weight")
            a, b = (left.pop(f"{module}.lora_{letter}.weight", None) for letter in "AB")
            if a is not None and b is not None:
                pairs |= apart(row, a, b, adapter, config)
            elif (array := left.pop(source, None)) is not None:
                whole |= split(row, array, layout(config), adapter, config)
    if left:
        raise CheckpointError(f"{adapter.name}: {next(iter(left))} has no place in the base; is it of another model?")
    return whole, pairs


def apart(row: Mapped, a: Array, b: Array, adapter: Adapter, config: ModelConfig) -> dict[str, Pair]:
    """The change of one of transformers' matrices as changes of ours."""
    shapes = layout(config)
    if a.ndim != 2 or b.ndim != 2 or b.shape[1] != len(a) or a.shape[1] != shapes[row.targets[0]][1]:
        where = f"{adapter.name}: {module_of(row)}"
        raise CheckpointError(f"{where} has A {list(a.shape)} and B {list(b.shape)}, which do not fit the base")
    scaled = b.astype(np.float64) * adapter.scale(module_of(row), len(a))
    rows = {target: (shapes[target][0], len(a)) for target in row.targets}
    parts = split(row, scaled if row.operation.by_rows else scaled.T, rows, adapter, config)
    return {target: (a, part) for target, part in parts.items()}


def split(
    row: Mapped, array: Array, shapes: Mapping[str, tuple[int, ...]], adapter: Adapter, config: ModelConfig
) -> dict[str, Array]:
    """One of transformers' tensors as ours, which must have these shapes."""
    parts = row.operation.split(array, [shapes[t] for t in row.targets], config)
    for target, part in zip(row.targets, parts, strict=True):
        if part.shape != shapes[target]:
            where = f"{adapter.name}: {row.source}"
            raise CheckpointError(
                f"{where} {list(array.shape)} does not fit the base's {target} {list(shapes[target])}"
            )
    return dict(zip(row.targets, parts, strict=True))
