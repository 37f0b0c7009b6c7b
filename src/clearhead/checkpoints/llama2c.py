"""The weight files of llama2.c: a header of seven numbers, then every matrix in one fixed order.

Format: github.com/karpathy/llama2.c, `export.py`: the original form, which has no magic number, and version 1. Version
2, of 8-bit integers, is refused: its writers have disagreed on where the scales go, and nothing in the file tells.
"""

import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from clearhead.checkpoints.checkpoint import Checkpoint
from clearhead.checkpoints.cursor import I32, U8, U32, Cursor, map_file, release
from clearhead.checkpoints.stored import Array, StoredTensor
from clearhead.config import LARGEST_SIZE, SpecialTokens
from clearhead.errors import CheckpointError
from clearhead.families import find
from clearhead.families.fields import Fields
from clearhead.positions import rotary_frequencies
from clearhead.text.tokenizer import Tokenizer

MAGIC = 0x616B3432  # "ak42"
HEADER_SIZE = 256  # bytes, of version 1; the rest of it is zero
NAMES = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len")
MOST_LAYERS = 1024
ATTENTION = tuple(f"attention.{part}" for part in ("wq", "wk", "wv", "wo"))
MLP = tuple(f"feed_forward.{part}" for part in ("w1", "w2", "w3"))
ORDER = {
    0: ("tok_embeddings", "attention_norm", *ATTENTION, "ffn_norm", *MLP, "norm"),
    1: ("attention_norm", "ffn_norm", "norm", "tok_embeddings", *ATTENTION, *MLP),
}
# Ids are those of SentencePiece's defaults. Both frames of a story end a generation, as in run.c.
SPECIAL = SpecialTokens(bos=1, eos=(2, 1), unknown=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What the file says about itself."""

    version: int  # 0: the original form
    sizes: dict[str, int]
    shared_head: bool


def open_llama2c(path: Path) -> Checkpoint:
    """The checkpoint in a llama2.c file, with the vocabulary that lies beside it, if any.

    Raises:
        CheckpointError: the file is not exactly as long as its header says, or rotates by other frequencies.
        ConfigError: sizes that no model has.
    """
    data = map_file(path)
    cursor = Cursor(data, path.name)
    header = read_header(cursor)
    tensors = {t.name: t for t in read_tensors(cursor, data, header)}
    if cursor.at != cursor.size:
        raise CheckpointError(
            f"{path.name} is no llama2.c file: its first numbers {list(header.sizes.values())} call for {cursor.at} "
            f"bytes, and it has {cursor.size}"
        )
    layout = find("llama2c", "llama2.c")
    vocabulary = vocabulary_beside(path, header.sizes["vocab_size"])
    return Checkpoint(
        source=path,
        config=layout.config(Fields(header.sizes, path.name), tensors),
        format=layout,
        tensors=tensors,
        special=SPECIAL,
        tokenizer=partial(read_vocabulary, vocabulary, header.sizes["vocab_size"]) if vocabulary else None,
    )


def read_header(cursor: Cursor) -> Header:
    """The header; sizes are checked here, so that nothing below multiplies wild numbers."""
    version = 0
    if cursor.size >= 8 and U32.unpack_from(cursor.data)[0] == MAGIC:
        version = I32.unpack_from(cursor.data, cursor.move(8, "the header") + 4)[0]
        if version != 1:
            raise CheckpointError(
                f"{cursor.where} is a llama2.c file of version {version}; Clearhead reads the original form and "
                "version 1: export it again with --version 1"
            )
    sizes = {name: cursor.number(I32, name) for name in NAMES}
    if version == 0:
        shared, sizes["vocab_size"] = sizes["vocab_size"] > 0, abs(sizes["vocab_size"])
    else:
        shared = bool(cursor.number(U8, "shared_classifier"))
        cursor.move(HEADER_SIZE - cursor.at, "the header")
    check_sizes(cursor, sizes)
    return Header(version=version, sizes=sizes, shared_head=shared)


def check_sizes(cursor: Cursor, sizes: dict[str, int]) -> None:
    """Refuse counts that are not positive, more layers than any model has, and heads of no whole pairs."""
    sane = all(1 <= n <= LARGEST_SIZE for n in sizes.values()) and sizes["n_layers"] <= MOST_LAYERS
    if not sane or sizes["dim"] % (2 * sizes["n_heads"]):
        raise CheckpointError(f"{cursor.where} is no llama2.c file: its first numbers are {list(sizes.values())}")


def read_tensors(cursor: Cursor, data: mmap.mmap, header: Header) -> Iterator[StoredTensor]:
    """Every tensor in the file's order."""
    n_layers, known = header.sizes["n_layers"], shapes(header.sizes)
    for kind in ORDER[header.version]:
        for name in names(kind, n_layers):
            yield read_tensor(cursor, data, name, known[kind])
    if header.version == 0:
        check_rotary(cursor, data, header.sizes)
    if not header.shared_head:
        yield read_tensor(cursor, data, "output.weight", known["output"])


def shapes(c: dict[str, int]) -> dict[str, tuple[int, ...]]:
    """The shape of each kind of tensor."""
    dim, hidden, table = c["dim"], c["hidden_dim"], (c["vocab_size"], c["dim"])
    keys = c["n_kv_heads"] * (dim // c["n_heads"])
    return {
        "tok_embeddings": table,
        "attention_norm": (dim,),
        "attention.wq": (dim, dim),
        "attention.wk": (keys, dim),
        "attention.wv": (keys, dim),
        "attention.wo": (dim, dim),
        "ffn_norm": (dim,),
        "feed_forward.w1": (hidden, dim),
        "feed_forward.w2": (dim, hidden),
        "feed_forward.w3": (hidden, dim),
        "norm": (dim,),
        "output": table,
    }


def names(kind: str, n_layers: int) -> list[str]:
    """What the LLaMA release calls the tensors of one kind, one a layer."""
    if kind in ("tok_embeddings", "norm"):
        return [f"{kind}.weight"]
    return [f"layers.{index}.{kind}.weight" for index in range(n_layers)]


def read_tensor(cursor: Cursor, data: mmap.mmap, name: str, shape: tuple[int, ...]) -> StoredTensor:
    """The next tensor."""
    size = 4 * cursor.elements(shape, name)
    start = cursor.move(size, name)
    return StoredTensor(
        name, shape, "F32", partial(floats, data, start, shape), release=partial(release, data, start, size)
    )


def floats(data: mmap.mmap, start: int, shape: tuple[int, ...]) -> Array:
    """float32 numbers where they lie in the file."""
    return np.frombuffer(data, dtype=np.float32, count=math.prod(shape), offset=start).reshape(shape)


def check_rotary(cursor: Cursor, data: mmap.mmap, c: dict[str, int]) -> None:
    """The original form stores its rotary tables; they must be the ones of base 10,000, which are computed here."""
    pairs = c["dim"] // c["n_heads"] // 2
    tables = [cursor.move(4 * c["seq_len"] * pairs, f"the table of {part}") for part in ("cosines", "sines")]
    position = min(1, c["seq_len"] - 1)
    angles = position * rotary_frequencies(2 * pairs, 10_000.0, None)
    for start, wanted in zip(tables, (np.cos(angles), np.sin(angles)), strict=True):
        row = np.frombuffer(data, dtype=np.float32, count=pairs, offset=start + 4 * pairs * position)
        if not np.allclose(row, wanted, atol=1e-4):
            raise CheckpointError(f"{cursor.where} rotates by other frequencies than those of base 10,000")


def vocabulary_beside(path: Path, vocab_size: int) -> Path | None:
    """The vocabulary file of this size, or the one of the original LLaMA, which bears no size in its name."""
    places = (path.with_name(f"tok{vocab_size}.bin"), path.with_name("tokenizer.bin"))
    return next((place for place in places if place.is_file()), None)


def read_vocabulary(path: Path, vocab_size: int) -> Tokenizer:
    """The vocabulary beside the weights."""
    from clearhead.text.llama2c import read_llama2c

    return read_llama2c(path, vocab_size)
