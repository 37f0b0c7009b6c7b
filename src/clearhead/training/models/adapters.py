"""What LoRA learnt, alone in a folder that `peft` reads; `checkpoints/adapter.py` reads such folders.

adapter_model.safetensors has the matrices A and B of each changed layer under the names that transformers gives the
layer, by the same tables that read and export whole models; adapter_config.json says how they are to be scaled. Where
transformers keeps several layers as one matrix (GPT-2's c_attn), their changes are one of a higher rank: the A of each
below the other, and each B in columns of its own.

I columns in, O rows out, r rank, k of several layers in one matrix that are changed.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from clearhead.checkpoints.adapter import LABELS, ROOT, SETTINGS, TENSORS, Pair, hf_rows, module_of
from clearhead.checkpoints.export import new_folder, write_json
from clearhead.checkpoints.stored import Array
from clearhead.config import ModelConfig
from clearhead.errors import CheckpointError, ConfigError
from clearhead.families.keys import Mapped
from clearhead.families.layout import layout
from clearhead.training.models.lora import A, B, LowRank, low_rank

TASKS = {"decoder": "CAUSAL_LM", "encoder-decoder": "SEQ_2_SEQ_LM", "encoder": "TOKEN_CLS"}


def save_adapter(folder: Path, model: nn.Module, base: str) -> None:
    """Write what LoRA learnt of the model `base` into a new `folder`: the changes, and a head that began anew.

    Raises:
        ConfigError: the model has no low-rank changes, or a new head that peft cannot keep beside them.
        CheckpointError: the folder exists and is not empty.
    """
    layers, config = low_rank(model), model.config
    if not layers or not isinstance(config, ModelConfig):
        raise ConfigError("the model has no low-rank changes; export it whole")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{folder} exists and is not empty; name a new folder")
    rows = hf_rows(config)
    pairs = {module_of(row): fused(row, layers, config) for row in rows if parts_of(row, layers)}
    heads = dict(whole_weights(model, rows, config))
    tensors = {ROOT + source: value for source, value in heads.items()}
    for module, (a, b) in pairs.items():
        tensors |= {f"{ROOT}{module}.lora_A.weight": a, f"{ROOT}{module}.lora_B.weight": b}
    with new_folder(folder) as draft:
        from safetensors.numpy import save_file

        write_json(draft / SETTINGS, settings(next(iter(layers.values())), config, pairs, heads, base))
        save_file({n: np.ascontiguousarray(t) for n, t in tensors.items()}, draft / TENSORS, metadata={"format": "pt"})
        (draft / TENSORS).chmod((draft / SETTINGS).stat().st_mode)  # the library leaves it private
        if config.labels:
            (draft / LABELS).write_text(json.dumps(config.labels, ensure_ascii=False) + "\n", encoding="utf-8")


def parts_of(row: Mapped, layers: Mapping[str, LowRank]) -> list[LowRank]:
    """The changed layers in one of transformers' matrices."""
    return [layers[t.removesuffix(".weight")] for t in row.targets if t.removesuffix(".weight") in layers]


def fused(row: Mapped, layers: Mapping[str, LowRank], config: ModelConfig) -> Pair:
    """The changes of all layers in one of transformers' matrices as one: A [k r, I] and B [O, k r]."""
    parts = parts_of(row, layers)
    columns = np.cumsum([0, *(part.rank for part in parts)])
    blocks = []
    for target in row.targets:
        block = np.zeros((layout(config)[target][0], columns[-1]), dtype=np.float32)
        layer = layers.get(target.removesuffix(".weight"))
        if layer is not None:
            at = parts.index(layer)
            block[:, columns[at] : columns[at + 1]] = numbers(layer.lora_b)
        blocks.append(block)
    joined = row.operation.join(blocks, config)
    return np.concatenate([numbers(part.lora_a) for part in parts]), joined if row.operation.by_rows else joined.T


def numbers(tensor: Tensor) -> NDArray[np.float32]:
    """A tensor's values."""
    values: NDArray[np.float32] = tensor.detach().float().cpu().numpy()
    return values


def whole_weights(model: nn.Module, rows: list[Mapped], config: ModelConfig) -> Iterator[tuple[str, Array]]:
    """What learnt as a whole beside the changes, under transformers' names.

    Raises:
        ConfigError: something else than the layer that scores labels.
    """
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad and n.rpartition(".")[2] not in (A, B)}
    for row in rows:
        if row.targets[0] in trained:
            if config.head != "token_labels":
                raise ConfigError(f"an adapter alone cannot hold {row.targets[0]}, which is new; the whole model does")
            yield row.source, row.operation.join([numbers(trained[row.targets[0]])], config)


def settings(
    layer: LowRank, config: ModelConfig, pairs: Mapping[str, Pair], heads: Mapping[str, Array], base: str
) -> dict[str, Any]:
    """adapter_config.json. The scale alpha / r is one everywhere, so k times the rank has k times the alpha."""
    ranks = {module: len(a) for module, (a, _) in pairs.items()}
    usual = next(iter(ranks.values()))
    unusual = {module: rank for module, rank in ranks.items() if rank != usual}
    return {
        "peft_type": "LORA",
        "task_type": TASKS[config.kind],
        "base_model_name_or_path": base,
        "inference_mode": True,
        "r": usual,
        "lora_alpha": layer.scale * usual,
        "lora_dropout": layer.dropout,
        "bias": "none",
        "fan_in_fan_out": any(not row.operation.by_rows for row in hf_rows(config) if module_of(row) in pairs),
        "target_modules": list(pairs),
        "modules_to_save": sorted({source.rpartition(".")[0] for source in heads}) or None,
        "rank_pattern": unusual,
        "alpha_pattern": {module: layer.scale * rank for module, rank in unusual.items()},
    }
