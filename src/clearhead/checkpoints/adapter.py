"""An adapter: what LoRA learnt of a model, alone in a folder as peft writes it, opened as the model that it makes.

Hu et al. 2021 (2106.09685): beside a weight W [O, I] lie B [O, r] and A [r, I], and W + scale B A is the weight of the
changed model. What peft scales by alpha / r is read so, its rank and alpha patterns by the names of layers, and
rsLoRA's alpha / sqrt(r) (Kalajdzievski 2023, 2312.03732). Other kinds of adapter are refused by what they are.

adapter_config.json names the base; each weight is changed when it is read. A folder may bring a vocabulary of its own.

I columns in, O rows out, r rank.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearhead import families
from clearhead.checkpoints.checkpoint import Checkpoint, match, parts
from clearhead.checkpoints.folder import open_safetensors, read_json, read_json_value
from clearhead.checkpoints.stored import Array, StoredTensor
from clearhead.config import ModelConfig, with_head
from clearhead.errors import CheckpointError
from clearhead.families.family import Format, Tensors
from clearhead.families.fields import Fields
from clearhead.families.keys import KeyTable, Mapped, Same, expand
from clearhead.families.layout import layout

SETTINGS, TENSORS, LABELS = "adapter_config.json", "adapter_model.safetensors", "labels.json"
ROOT = "base_model.model."  # what peft writes before every name
Pair = tuple[Array, Array]  # A [r, I] and B [O, r]
UNREAD = ("use_dora", "layer_replication", "lora_bias", "target_parameters")  # under these, W + B A is not all
LARGEST_ALPHA = 1e9  # usual is some tens; no infinity and no NaN
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
        if not isinstance(patterns, dict):
            raise CheckpointError(f"{self.name}: alpha_pattern is no object of names and numbers")
        if odd := [key for key in patterns if not NAME.fullmatch(key)]:
            raise CheckpointError(f"{self.name}: alpha_pattern has {odd[0][:40]!r}; only names of layers are read")
        alpha = next((a for key, a in patterns.items() if ends(module, key)), self.settings.get("lora_alpha"))
        if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not abs(alpha) <= LARGEST_ALPHA:
            raise CheckpointError(f"{self.name}: lora_alpha is {alpha!r:.40}; it must be a number")
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
    labels = read_json_value(path)
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise CheckpointError(f"{folder.name}/{LABELS} is no list of labels")
    return tuple(labels)


def is_adapter(path: Path) -> bool:
    """Whether a folder holds an adapter, and no whole model beside it."""
    return (path / SETTINGS).is_file() and not (path / "config.json").is_file()


def base_of(folder: Path) -> str:
    """The name, id or path of the model that an adapter changes.

    Raises:
        CheckpointError: it names none.
    """
    base = read_json(folder / SETTINGS).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise CheckpointError(f"{folder.name}/{SETTINGS} names no base (base_model_name_or_path is {base!r})")
    return base


def adapted(folder: Path, base: Checkpoint) -> Checkpoint:
    """The model that an adapter's folder makes of its base; weights are read, and changed, one by one.

    Raises:
        CheckpointError: an adapter that is damaged, of another model, or not plain LoRA.
    """
    adapter = read_adapter(folder)
    config = with_head(base.config, "token_labels", adapter.labels) if adapter.labels else base.config
    return replace(base, source=folder, config=config, format=OURS, tensors=changed_tensors(base, config, adapter))


def changed_tensors(base: Checkpoint, config: ModelConfig, adapter: Adapter) -> dict[str, StoredTensor]:
    """Every weight of the changed model, unread, under our names."""
    whole, pairs = sorted_out(config, adapter)
    found = {name: StoredTensor(name, a.shape, str(a.dtype), partial(np.asarray, a)) for name, a in whole.items()}
    old, new = layout(base.config), layout(config)
    for stored, row in match(base, expand(base.format.keys(base.config), old, base.config)):
        for target in () if row.copy else row.targets:
            if target in new and target not in whole:
                pair = pairs.get(target)
                raw = stored.raw if pair is None and isinstance(row.operation, Same) else None
                read = partial(one_part, base, stored, row, target, pair)
                dtype = stored.dtype if pair is None else f"{stored.dtype} + {len(pair[0])}"
                found[target] = StoredTensor(target, new[target], dtype, read, raw)
    return found


def one_part(base: Checkpoint, stored: StoredTensor, row: Mapped, target: str, pair: Pair | None) -> Array:
    """One of our weights in a tensor of the base, changed if it has a pair."""
    array = dict(parts(base, stored, row, layout(base.config)))[target]
    stored.release()
    return array if pair is None else changed(array, *pair)


def own_keys(config: ModelConfig) -> KeyTable:
    """Our names, for tensors that have them already."""
    return {name: name for name in layout(config)}


def no_config(fields: Fields, tensors: Tensors) -> ModelConfig:
    """An adapter's configuration is that of its base."""
    raise CheckpointError(f"{fields.where} describes no model; its base does")


OURS = Format(types=(), config=no_config, keys=own_keys)


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
    prefix = families.exported(config).prefix
    for row in hf_rows(config):
        for source in dict.fromkeys((row.source, row.source.removeprefix(prefix))):  # some leave the prefix out
            module = source.removesuffix(".weight")
            a, b = (left.pop(f"{module}.lora_{letter}.weight", None) for letter in "AB")
            if (a is None) != (b is None):
                raise CheckpointError(f"{adapter.name}: {module} has lora_{'B' if a is None else 'A'} alone of its two")
            if a is not None and b is not None:
                pairs |= apart(row, a, b, adapter, config)
            elif (array := left.pop(source, None)) is not None:
                whole |= split(row, array, layout(config), adapter, config)
    if left:
        raise CheckpointError(f"{adapter.name}: {next(iter(left))} has no place in the base; is it of another model?")
    if not whole and not pairs:
        raise CheckpointError(f"{adapter.name}/{TENSORS} holds no tensor, so that the adapter changes nothing")
    return whole, pairs


def apart(row: Mapped, a: Array, b: Array, adapter: Adapter, config: ModelConfig) -> dict[str, Pair]:
    """The change of one of transformers' matrices as changes of ours."""
    shapes = layout(config)
    flat = a.ndim != 2 or b.ndim != 2 or len(shapes[row.targets[0]]) != 2 or not len(a)
    if flat or b.shape[1] != len(a) or a.shape[1] != shapes[row.targets[0]][1]:
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


def hf_rows(config: ModelConfig) -> list[Mapped]:
    """The tensors that transformers has of such a model, with ours in each."""
    rows = expand(families.exported(config).keys(config), layout(config), config)
    return [row for row in rows.values() if not row.copy]


def module_of(row: Mapped) -> str:
    """transformers' name of the layer that a weight belongs to."""
    return row.source.removesuffix(".weight")


def ends(path: str, target: str) -> bool:
    """Whether a module's path is the target or ends in it, part by part."""
    return f".{path}".endswith(f".{target}")
