"""A folder in Hugging Face layout: config.json, safetensors in one file or several (or ONNX graphs), and a vocabulary.

The `safetensors` library checks the headers; weights are then used where they lie in the mapped files. Pickled weights
can run code when opened and are refused.
"""

import json
import math
import mmap
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from clearhead.checkpoints.checkpoint import Checkpoint, Pooling
from clearhead.checkpoints.cursor import map_file, release
from clearhead.checkpoints.int8 import is_int8, with_matrices
from clearhead.checkpoints.onnx import open_onnx
from clearhead.checkpoints.stored import Array, Bytes, StoredTensor
from clearhead.config import ModelConfig, SpecialTokens
from clearhead.errors import CheckpointError, ConfigError
from clearhead.families import find
from clearhead.families.fields import Fields
from clearhead.text.tokenizer import Tokenizer

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
FLOATS = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
POOLING_MODES: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "first",
    "pooling_mode_lasttoken": "last",
}
LARGEST_JSON = 64 * 2**20  # bytes; a configuration or an index is far smaller


def open_folder(folder: Path) -> Checkpoint:
    """The checkpoint in `folder`.

    Raises:
        CheckpointError: a file that is missing, damaged or pickled.
        ConfigError: a config.json that describes no model Clearhead computes.
    """
    raw = read_json(folder / "config.json")
    fields = Fields(raw, f"{folder.name}/config.json")
    tensors = read_tensors(folder)
    if is_int8(raw):
        tensors = with_matrices(tensors, folder.name)
    layout = find("hf", fields.text("model_type"))
    config, tokenizer = layout.config(fields, tensors), tokenizer_of(folder)
    generation = read_json(folder / "generation_config.json") if (folder / "generation_config.json").exists() else {}
    return Checkpoint(
        source=folder,
        config=config,
        format=layout,
        tensors=tensors,
        special=with_mask(special_tokens(raw, generation, config.vocab_size), config, folder, tokenizer),
        tokenizer=tokenizer,
        chat_template=chat_template(folder),
        pooling=pooling_of(folder),
        generation=generation,
    )


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object from a file of sane size."""
    value = read_json_value(path)
    if not isinstance(value, dict):
        raise CheckpointError(f"{path.parent.name}/{path.name} holds {type(value).__name__}, not an object")
    return value


def read_json_value(path: Path) -> Any:
    """What a JSON file of sane size holds."""
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise CheckpointError(f"{path.parent.name}/{path.name}: {path.stat().st_size} bytes; it is damaged")
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path.parent.name}: there is no {path.name}; this is not a model folder") from None
    except (OSError, ValueError, RecursionError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise CheckpointError(f"{path.parent.name}/{path.name} cannot be read: {reason}") from None


def read_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Every tensor of every file of weights, by name, unread."""
    tensors: dict[str, StoredTensor] = {}
    for path in weight_files(folder):
        for stored in open_onnx(path) if path.suffix == ".onnx" else open_safetensors(path):
            if stored.name in tensors:
                raise CheckpointError(f"{folder.name}: tensor {stored.name} is repeated in {path.name}; one must go")
            tensors[stored.name] = stored
    return tensors


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder: those its index names, or the single one; without any, its ONNX graphs."""
    index = folder / "model.safetensors.index.json"
    if index.exists():
        names = read_json(index).get("weight_map")
        if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
            raise CheckpointError(f"{folder.name}/{index.name}: weight_map must map tensor names to file names")
        files = [folder / name for name in sorted(set(names.values()))]
        if outside := [path.name for path in files if path.parent != folder]:
            raise CheckpointError(f"{folder.name}/{index.name}: {outside[0]} lies outside the folder")
        if absent := [path.name for path in files if not path.is_file()]:
            raise CheckpointError(f"{folder.name}: {absent[0]} is missing; the index names it")
        return files
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    if graphs := sorted(folder.glob("*.onnx")):
        return graphs
    raise CheckpointError(no_weights(folder))


def no_weights(folder: Path) -> str:
    """Why a folder has no weights that can be read, and what to do."""
    if pickles := sorted(path.name for pattern in PICKLES for path in folder.glob(pattern)):
        return (
            f"{folder.name}: {pickles[0]} is a pickle, which can run code when opened; convert it where you trust it: "
            "AutoModel.from_pretrained(folder).save_pretrained(folder) with transformers writes model.safetensors"
        )
    return f"{folder.name}: there is no model.safetensors, no model.safetensors.index.json and no .onnx"


def open_safetensors(path: Path) -> Iterable[StoredTensor]:
    """The tensors of one file. The library has each one's place, type and shape agree with the file's size."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path.name} is damaged or incomplete ({error}); download it again") from None
    data = map_file(path)
    start = 8 + int.from_bytes(data[:8], "little")  # a header of JSON, its length in front
    for name, entry in json.loads(data[8:start]).items():
        if not name.isprintable():
            raise CheckpointError(f"{path.name}: tensor name {ascii(name)[:60]} has control characters; it is damaged")
        if name != "__metadata__":
            dtype, shape, (first, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
            read = partial(read_tensor, data, start + first, dtype, shape, f"{path.name}: {name}")
            rows = partial(read_bytes, data, start + first, shape) if dtype == "U8" and len(shape) == 2 else None
            yield StoredTensor(name, shape, dtype, read, rows, partial(release, data, start + first, end - first))


def read_tensor(data: mmap.mmap, start: int, dtype: str, shape: tuple[int, ...], where: str) -> Array:
    """The values of one tensor, in the type they are stored in; a copy only where the file does not align them."""
    import ml_dtypes  # noqa: F401  adds bfloat16 to the names NumPy knows

    if dtype not in FLOATS:
        raise CheckpointError(f"{where} is stored as {dtype}; Clearhead reads {', '.join(FLOATS)}")
    array = np.frombuffer(data, dtype=np.dtype(FLOATS[dtype]), count=math.prod(shape), offset=start)
    return np.require(array, requirements="A").reshape(shape)


def read_bytes(data: mmap.mmap, start: int, shape: tuple[int, ...]) -> Bytes:
    """The bytes of one tensor of bytes, where they lie."""
    return np.frombuffer(data, dtype=np.uint8, count=math.prod(shape), offset=start).reshape(shape)


def special_tokens(config: dict[str, Any], generation: dict[str, Any], vocab_size: int) -> SpecialTokens:
    """Ids from generation_config.json, else from config.json, as transformers resolves them.

    An id outside the vocabulary names no token; early LLaMA files write -1 for a padding they do not have.
    """

    def of(key: str) -> list[int]:
        value = generation.get(key, config.get(key))
        ids = value if isinstance(value, list) else [value]
        return [i for i in ids if isinstance(i, int) and not isinstance(i, bool) and 0 <= i < vocab_size]

    def one(key: str) -> int | None:
        return next(iter(of(key)), None)

    words = generation.get("bad_words_ids", config.get("bad_words_ids")) or []
    single = [w[0] for w in words if isinstance(w, list) and len(w) == 1 and isinstance(w[0], int)]
    return SpecialTokens(
        bos=one("bos_token_id"),
        eos=tuple(of("eos_token_id")),
        pad=one("pad_token_id"),
        decoder_start=one("decoder_start_token_id"),
        suppressed=tuple(single),
    )


def with_mask(
    special: SpecialTokens, config: ModelConfig, folder: Path, tokenizer: Callable[[], Tokenizer] | None
) -> SpecialTokens:
    """The mask of a masked language model, which only the vocabulary's own files name."""
    if config.head != "mlm" or tokenizer is None:
        return special
    from clearhead.text import settings

    return replace(special, mask=settings.special_tokens(folder, tokenizer()).mask)


def tokenizer_of(folder: Path) -> Callable[[], Tokenizer] | None:
    """How to read the folder's vocabulary, or None when it carries none."""
    from clearhead.text.legacy import has_tokenizer, load_tokenizer_folder

    return partial(load_tokenizer_folder, folder) if has_tokenizer(folder) else None


def pooling_of(folder: Path) -> Pooling:
    """How sentence-transformers turns the states of this encoder into one vector of a text.

    Raises:
        ConfigError: a way that Clearhead does not compute.
    """
    path = folder / "1_Pooling" / "config.json"
    chosen = (
        {k for k, v in read_json(path).items() if k.startswith("pooling_mode") and v is True}
        if path.exists()
        else set()
    )
    if len(chosen) > 1 or chosen - POOLING_MODES.keys():
        raise ConfigError(f"{folder.name}: {', '.join(sorted(chosen))}; Clearhead pools by {', '.join(POOLING_MODES)}")
    return POOLING_MODES[chosen.pop()] if chosen else "mean"


def chat_template(folder: Path) -> str | None:
    """The template of chat_template.jinja or of tokenizer_config.json: the "default" one where there are several."""
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    if not (folder / "tokenizer_config.json").is_file():
        return None
    template = read_json(folder / "tokenizer_config.json").get("chat_template")
    if isinstance(template, list):
        named = {t.get("name"): t.get("template") for t in template if isinstance(t, dict)}
        template = named.get("default")
    return template if isinstance(template, str) else None
