"""Write any loaded model as a folder that transformers reads, through the same tables that read one.

The folder appears whole or not at all: files are written beside it and moved into place at the end.
"""

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from clearhead import families
from clearhead.checkpoints import int8
from clearhead.checkpoints.stored import Array
from clearhead.config import ModelConfig, SpecialTokens
from clearhead.errors import CheckpointError, ConfigError, OptionError
from clearhead.families.fields import Fields
from clearhead.families.keys import expand
from clearhead.families.layout import is_matrix, layout
from clearhead.text.tokenizer import Tokenizer

DTYPES: dict[str, Any] = {
    "float64": np.float64,
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
}
INT8 = "int8"  # matrices in int8, all else in float32


def export(
    folder: Path,
    config: ModelConfig,
    weights: Iterable[tuple[str, Array]],
    *,
    dtype: str = "float32",
    special: SpecialTokens = SpecialTokens(),  # noqa: B008  frozen
    tokenizer: Tokenizer | None = None,
    chat_template: str | None = None,
    pooling: str | None = None,
    beside: Mapping[str, str] | None = None,
) -> None:
    """Write config.json, model.safetensors, and vocabulary and template where given, into a new `folder`.

    With dtype "int8" matrices are quantised (`checkpoints/int8.py` says how) and the rest is float32; such a folder is
    read here, and not by transformers.

    With `pooling` ("mean", "first", "last"), an encoder without a head also gets what sentence-transformers needs to
    make the same unit vectors of it. `beside` are more files of text by name.

    Raises:
        CheckpointError: the folder exists and is not empty.
        ConfigError: the family's config.json cannot express this configuration.
        OptionError: an unknown dtype, or one too narrow for a weight.
    """
    if dtype not in DTYPES and dtype != INT8:
        raise OptionError(f"dtype {dtype!r} cannot be exported; choose from {', '.join(DTYPES)}, {INT8}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{folder} exists and is not empty; name a new folder")
    entries, floats = special_entries(special), "float32" if dtype == INT8 else dtype
    described = {"dtype": floats} | (int8.DECLARED if dtype == INT8 else {})
    with new_folder(folder) as draft:
        from safetensors.numpy import save_file

        write_json(draft / "config.json", hf_config(config) | entries | described)
        write_json(draft / "generation_config.json", entries)
        tensors = hf_tensors(config, ((name, cast(name, array, floats)) for name, array in weights))
        if dtype != INT8:  # such a folder is read here alone, and no room is spent on copies
            tensors |= copies(config, tensors)
        for name in matrices(config) if dtype == INT8 else ():
            tensors[name] = int8.quantised(name, tensors[name])
        save_file(tensors, draft / "model.safetensors", metadata={"format": "pt"})
        (draft / "model.safetensors").chmod((draft / "config.json").stat().st_mode)  # the library leaves it private
        if tokenizer is not None:
            tokenizer.save(draft)
        if pooling is not None and config.kind == "encoder" and config.head == "none":
            write_pooling(draft, config, pooling)
        if chat_template is not None:
            (draft / "chat_template.jinja").write_text(chat_template, encoding="utf-8")
        for name, text in (beside or {}).items():
            (draft / name).write_text(text, encoding="utf-8")


def cast(name: str, array: Array, dtype: str) -> Array:
    """A weight in the type asked for; float16 ends at 65504, and what lies beyond must not become infinite unsaid."""
    with np.errstate(over="ignore"):
        result: Array = array.astype(DTYPES[dtype], copy=False)
    if dtype == "float16" and np.isinf(result).sum() > np.isinf(array).sum():
        raise OptionError(f"dtype float16 cannot hold {name}, which reaches beyond 65504; export it as bfloat16")
    return result


POOLING_MODES = {"mean": "mean_tokens", "first": "cls_token", "last": "lasttoken"}


def write_pooling(folder: Path, config: ModelConfig, pooling: str) -> None:
    """The three modules of sentence-transformers: the encoder, its pooling, and the division by the length."""
    steps = ("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(steps)
    ]
    (folder / "modules.json").write_text(json.dumps(modules, indent=2) + "\n", encoding="utf-8")
    (folder / "1_Pooling").mkdir()
    modes = {f"pooling_mode_{mode}": name == pooling for name, mode in POOLING_MODES.items()}
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": config.d_model, **modes})
    (folder / "2_Normalize").mkdir()


def hf_config(config: ModelConfig) -> dict[str, Any]:
    """The family's config.json, proved to read back as the same configuration."""
    family = families.of(config)
    raw, names = family.to_hf(config), dict.fromkeys(hf_names(config))
    back = families.exported(config).config(Fields(raw, "config.json"), names)  # type: ignore[arg-type]
    lost = [f.name for f in dataclass_fields(config) if getattr(config, f.name) != getattr(back, f.name)]
    if lost:
        values = ", ".join(f"{name} = {getattr(config, name)!r}" for name in lost)
        raise ConfigError(f"a {config.family} config.json cannot express {values}")
    return raw


def hf_names(config: ModelConfig) -> list[str]:
    """Names of the tensors the folder will hold."""
    rows = expand(families.exported(config).keys(config), layout(config), config)
    return [row.source for row in rows.values() if not row.copy]


def matrices(config: ModelConfig) -> list[str]:
    """Names of those tensors of the folder that hold matrices alone."""
    shapes = layout(config)
    rows = expand(families.exported(config).keys(config), shapes, config)
    return [row.source for row in rows.values() if not row.copy and all(is_matrix(t, shapes[t]) for t in row.targets)]


def hf_tensors(config: ModelConfig, weights: Iterable[tuple[str, Array]]) -> dict[str, Array]:
    """Our weights under the family's Hugging Face names, split and fused parts put back as they were.

    Raises:
        CheckpointError: weights that are missing or that the configuration does not have.
    """
    ours = dict(weights)
    rows = expand(families.exported(config).keys(config), layout(config), config)
    tensors: dict[str, Array] = {}
    for row in rows.values():
        if row.copy:
            continue
        if absent := [t for t in row.targets if t not in ours]:
            raise CheckpointError(f"cannot export: weight {absent[0]} is missing")
        parts = [ours.pop(t) for t in row.targets]  # each is let go as soon as it is written
        tensors[row.source] = np.ascontiguousarray(row.operation.join(parts, config))
    if ours:
        raise CheckpointError(f"cannot export: the configuration has no place for weight {next(iter(ours))}")
    return tensors


def copies(config: ModelConfig, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Tensors that transformers reads under a second name as well."""
    rows = expand(families.exported(config).keys(config), layout(config), config).values()
    first = {row.targets: row.source for row in rows if not row.copy}
    return {row.source: tensors[first[row.targets]] for row in rows if row.copy and row.written}


def special_entries(special: SpecialTokens) -> dict[str, Any]:
    """Special tokens as config.json and generation_config.json spell them."""
    eos = special.eos[0] if len(special.eos) == 1 else list(special.eos) or None
    entries = {
        "bos_token_id": special.bos,
        "eos_token_id": eos,
        "pad_token_id": special.pad,
        "decoder_start_token_id": special.decoder_start,
        "bad_words_ids": [[token] for token in special.suppressed] or None,
    }
    return {key: value for key, value in entries.items() if value is not None}


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Readable JSON with a newline at its end."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A draft beside `folder` that becomes it when the block ends well, and vanishes when it does not."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield draft
        if folder.exists():
            folder.rmdir()
        draft.chmod(0o755)
        draft.replace(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
