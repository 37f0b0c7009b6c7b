"""A GGUF file (or its shards) as a checkpoint: settings become a configuration, token ids, a template, a tokenizer.

Which keys llama.cpp writes: its `gguf` package, `constants.py`; what it does with them: `src/llama-vocab.cpp`.
"""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from clearhead.checkpoints.checkpoint import Checkpoint
from clearhead.checkpoints.gguf_file import GgufFile, read_gguf
from clearhead.checkpoints.stored import StoredTensor
from clearhead.config import SpecialTokens
from clearhead.errors import CheckpointError
from clearhead.families import find
from clearhead.families.fields import Fields
from clearhead.text.tokenizer import Tokenizer

TOKENIZER = "tokenizer.ggml."
MOST_SHARDS = 1000
SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf")

# What a kind of vocabulary means by a role that the file leaves out.
USUAL_IDS = {"llama": {"bos": 1, "eos": 2, "unknown": 0}, "t5": {"eos": 1, "unknown": 2, "padding": 0}}
# Markers that end a turn. Many instruction models name the end of a document as eos and stop at one of these.
TURN_ENDS = frozenset({"<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>"})

SAMPLING = {"temp": "temperature", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p"}
POOLING = {1: "mean", 2: "cls", 3: "last"}


def open_gguf(path: Path) -> Checkpoint:
    """The checkpoint in a GGUF file; of a model in shards, any shard's path will do.

    Raises:
        CheckpointError: a file that is damaged, or a shard that is missing.
        ConfigError: settings that describe no model Clearhead computes.
    """
    file = with_shards(read_gguf(path))
    metadata = file.metadata
    if not file.tensors:
        raise CheckpointError(f"{file.path.name} holds a vocabulary and no weights; give the model's own file")
    arch = Fields(metadata, file.path.name).text("general.architecture")
    fields = Fields({key.removeprefix(f"{arch}."): value for key, value in metadata.items()}, file.path.name)
    layout = find("gguf", arch)
    config = layout.config(fields, file.tensors)
    template = metadata.get("tokenizer.chat_template")
    return Checkpoint(
        source=file.path,
        config=config,
        format=layout,
        tensors=file.tensors,
        special=special_tokens(fields, config.vocab_size),
        tokenizer=partial(tokenizer_of, metadata) if f"{TOKENIZER}tokens" in metadata else None,
        chat_template=template if isinstance(template, str) else None,
        generation=preferences(fields),
    )


def tokenizer_of(metadata: Mapping[str, Any]) -> Tokenizer:
    """The vocabulary that stands in the settings."""
    from clearhead.text.gguf_vocabulary import gguf_tokenizer

    return gguf_tokenizer(metadata)


def special_tokens(fields: Fields, vocab_size: int) -> SpecialTokens:
    """Ids by role. As in llama.cpp, whatever ends a turn or a message ends a generation too."""
    usual = USUAL_IDS.get(str(fields.values.get(f"{TOKENIZER}model")), {})

    def of(role: str) -> int | None:
        return token_id(fields.values.get(f"{TOKENIZER}{role}_token_id", usual.get(role)), vocab_size)

    ends = dict.fromkeys(i for i in (of("eos"), of("eot"), of("eom"), *turn_ends(fields, vocab_size)) if i is not None)
    return SpecialTokens(
        bos=of("bos"),
        eos=tuple(ends),
        pad=of("padding"),
        unknown=of("unknown"),
        mask=of("mask"),
        decoder_start=token_id(fields.values.get("decoder_start_token_id"), vocab_size),
    )


def token_id(value: Any, vocab_size: int) -> int | None:
    """An id within the vocabulary; files write -1 or 2^32 - 1 for none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < vocab_size else None


def turn_ends(fields: Fields, vocab_size: int) -> list[int]:
    """The ids of the markers that end a turn."""
    tokens = fields.values.get(f"{TOKENIZER}tokens")
    if not isinstance(tokens, list):
        return []
    return [i for i, token in enumerate(tokens[:vocab_size]) if token in TURN_ENDS]


def preferences(fields: Fields) -> dict[str, Any]:
    """How the file asks to be sampled from, and how its states become one vector of a text."""
    stated = {ours: fields.number(f"general.sampling.{theirs}", default=None) for theirs, ours in SAMPLING.items()}
    stated["pooling"] = POOLING.get(fields.integer("pooling_type", default=0))
    return {key: value for key, value in stated.items() if value is not None}


def with_shards(file: GgufFile) -> GgufFile:
    """A file with the tensors of all its shards; the first shard holds the settings."""
    n = Fields(file.metadata, file.path.name).integer("split.count", default=0)
    if n <= 1:
        return file
    shards = [read_gguf(path) for path in shard_paths(file.path, n)]
    tensors: dict[str, StoredTensor] = {}
    for index, shard in enumerate(shards):
        if (shard.metadata.get("split.no"), shard.metadata.get("split.count")) != (index, n):
            raise CheckpointError(f"{shard.path.name} is not shard {index + 1} of {n}; its files are mixed up")
        if repeated := tensors.keys() & shard.tensors.keys():
            raise CheckpointError(f"{shard.path.name}: tensor {min(repeated)} is in an earlier shard too; one must go")
        tensors |= shard.tensors
    return GgufFile(path=shards[0].path, metadata=shards[0].metadata, tensors=tensors)


def shard_paths(path: Path, n: int) -> list[Path]:
    """The files of a model split in `n`, which differ by a number in their names."""
    match = SHARD.fullmatch(path.name)
    if match is None or int(match[3]) != n or n > MOST_SHARDS:
        raise CheckpointError(
            f"{path.name} is one of {n} shards; their names must end in -00001-of-{n:05}.gguf and so on to be found"
        )
    paths = [path.with_name(f"{match[1]}-{index:05}-of-{n:05}.gguf") for index in range(1, n + 1)]
    if absent := [p.name for p in paths if not p.is_file()]:
        raise CheckpointError(f"{path.name} is one of {n} shards and {absent[0]} is missing; put it beside the others")
    return paths
