"""A GGUF file (or its shards) as a checkpoint: settings become a configuration, token ids, a template, a tokenizer.

Which keys there are: llama.cpp's `gguf` package, `constants.py`.
"""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearhead.checkpoints.checkpoint import Checkpoint, Pooling
from clearhead.checkpoints.gguf_file import GgufFile, read_gguf
from clearhead.checkpoints.stored import StoredTensor
from clearhead.config import SpecialTokens
from clearhead.errors import CheckpointError
from clearhead.families import find
from clearhead.families.fields import Fields
from clearhead.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from clearhead.text.gguf_pieces import Pieces

TOKENS = "tokenizer.ggml.tokens"
MOST_SHARDS = 1000
SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf")

SAMPLING = {"temp": "temperature", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p"}
POOLING: dict[int, Pooling] = {0: "mean", 1: "mean", 2: "first", 3: "last"}


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
    short = {key.removeprefix(f"{arch}."): value for key, value in metadata.items()}
    fields = Fields(metadata | short, file.path.name)
    layout = find("gguf", arch)
    config = layout.config(fields, file.tensors)
    template = metadata.get("tokenizer.chat_template")
    pieces = pieces_of(metadata)
    return Checkpoint(
        source=file.path,
        config=config,
        format=layout,
        tensors=file.tensors,
        special=special_tokens(fields, pieces, config.vocab_size),
        tokenizer=None if pieces is None else partial(tokenizer_of, metadata, pieces),
        chat_template=template if isinstance(template, str) else None,
        pooling=POOLING.get(fields.integer("pooling_type", default=0), "mean"),
        generation=preferences(fields),
    )


def pieces_of(metadata: Mapping[str, Any]) -> "Pieces | None":
    """The lists of the vocabulary that stands in the settings, if one does."""
    from clearhead.text.gguf_pieces import read_pieces

    return read_pieces(metadata) if TOKENS in metadata else None


def tokenizer_of(metadata: Mapping[str, Any], pieces: "Pieces") -> Tokenizer:
    """The vocabulary that stands in the settings."""
    from clearhead.text.gguf_vocabulary import gguf_tokenizer

    return gguf_tokenizer(metadata, pieces)


def special_tokens(fields: Fields, pieces: "Pieces | None", vocab_size: int) -> SpecialTokens:
    """Ids by role, all rows of the embedding. Without a vocabulary a file may still say how its decoder starts."""
    from clearhead.text.gguf_pieces import gguf_special_tokens

    if pieces is not None:
        special = gguf_special_tokens(fields.values, pieces)
    else:
        special = SpecialTokens(decoder_start=fields.integer("decoder_start_token_id", default=None))
    ids = (special.bos, special.pad, special.unknown, special.mask, special.decoder_start, *special.eos)
    if outside := [i for i in ids if i is not None and not 0 <= i < vocab_size]:
        raise CheckpointError(
            f"{fields.where}: a special token has the id {outside[0]}, and the embedding has {vocab_size} rows; "
            "vocabulary and weights are of different models"
        )
    return special


def preferences(fields: Fields) -> dict[str, Any]:
    """How the file asks to be sampled from."""
    stated = {ours: fields.number(f"general.sampling.{theirs}", default=None) for theirs, ours in SAMPLING.items()}
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
