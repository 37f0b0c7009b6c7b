"""The weight files of llama2.c: a header of seven numbers, then every matrix in one fixed order.

Format: github.com/karpathy/llama2.c, `run.c` (the original form, without a magic number), `export.py` (versions 1 and 2).
Version 2 stores matrices as 8-bit integers with a scale for each group of numbers. L layers, C dim, F hidden_dim.
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from clearhead.checkpoints.checkpoint import Checkpoint
from clearhead.checkpoints.cursor import F32, I32, U8, U32, Cursor, map_file
from clearhead.checkpoints.stored import Array, Bytes, StoredTensor
from clearhead.config import LARGEST_SIZE, SpecialTokens
from clearhead.errors import CheckpointError
from clearhead.families import find
from clearhead.families.fields import Fields
from clearhead.positions import rotary_frequencies
from clearhead.text.tokenizer import Tokenizer

MAGIC = 0x616B3432  # "ak42"
HEADER_SIZE = 256  # bytes, of versions 1 and 2; the rest of it is zero
NAMES = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len")
MOST_LAYERS, LONGEST_TOKEN = 1024, 1024
# Ids are those of SentencePiece's defaults. Both frames of a story end a generation, as in run.c.
SPECIAL = SpecialTokens(bos=1, eos=(2, 1), unknown=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What the file says about itself."""

    version: int  # 0: the original form
    sizes: dict[str, int]
    shared_head: bool
    group: int  # numbers that share a scale; version 2 alone


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
    """The header of any version; sizes are checked here, so that nothing below multiplies wild numbers."""
    version, shared, group = 0, True, 0
    if cursor.size >= 8 and U32.unpack_from(cursor.data)[0] == MAGIC:
        version = I32.unpack_from(cursor.data, cursor.move(8, "the header") + 4)[0]
        if version not in (1, 2):
            raise CheckpointError(f"{cursor.where} is a llama2.c file of version {version}; Clearhead reads 0, 1 and 2")
    sizes = {name: cursor.number(I32, name) for name in NAMES}
    if version == 0:
        shared, sizes["vocab_size"] = sizes["vocab_size"] > 0, abs(sizes["vocab_size"])
    else:
        shared = bool(cursor.number(U8, "shared_classifier"))
        group = cursor.number(I32, "group_size") if version == 2 else 0
        cursor.move(HEADER_SIZE - cursor.at, "the header")
    check_sizes(cursor, sizes, group if version == 2 else 1)
    return Header(version=version, sizes=sizes, shared_head=shared, group=group)


def check_sizes(cursor: Cursor, sizes: dict[str, int], group: int) -> None:
    """Refuse counts that are not positive, or of more layers than any model has."""
    n_layers, n_heads = sizes["n_layers"], sizes["n_heads"]
    sane = all(1 <= n <= LARGEST_SIZE for n in (*sizes.values(), group)) and n_layers <= MOST_LAYERS
    if not sane or sizes["dim"] % n_heads or sizes["dim"] // n_heads % 2:
        raise CheckpointError(f"{cursor.where} is no llama2.c file: its first numbers are {list(sizes.values())}")


def read_tensors(cursor: Cursor, data: mmap.mmap, header: Header) -> Iterator[StoredTensor]:
    """Every tensor in the file's order, which is the order of `llama2.c`'s `memory_map_weights`."""
    c, names = header.sizes, dict(shapes(header.sizes))
    norms, matrices = ("attention_norm", "ffn_norm"), [name for name in names if "norm" not in name]
    if header.version == 0:
        order = ["tok_embeddings", "attention_norm", "wq", "wk", "wv", "wo", "ffn_norm", "w1", "w2", "w3", "norm"]
    else:
        order = [*norms, "norm", *(name for name in matrices if name != "output")]
    for name in order:
        for path in paths(name, c["n_layers"]):
            yield read_tensor(cursor, data, path, names[name], header.group if name in matrices else 0)
    if header.version == 0:
        check_rotary(cursor, data, c)
    if not header.shared_head:
        yield read_tensor(cursor, data, "output.weight", names["output"], header.group)


def shapes(c: dict[str, int]) -> dict[str, tuple[int, ...]]:
    """The shape of each kind of tensor."""
    keys = c["n_kv_heads"] * (c["dim"] // c["n_heads"])
    square, wide = (c["dim"], c["dim"]), (c["hidden_dim"], c["dim"])
    vector, table = (c["dim"],), (c["vocab_size"], c["dim"])
    return {"tok_embeddings": table, "attention_norm": vector, "ffn_norm": vector, "norm": vector} | {
        "wq": square, "wk": (keys, c["dim"]), "wv": (keys, c["dim"]), "wo": square,
        "w1": wide, "w2": (c["dim"], c["hidden_dim"]), "w3": wide, "output": table,
    }  # fmt: skip


def paths(name: str, n_layers: int) -> list[str]:
    """The module paths of the LLaMA release under which one kind of tensor is known, one a layer."""
    if name in ("tok_embeddings", "norm", "output"):
        return [f"{name}.weight"]
    part = {"wq": "attention.", "wk": "attention.", "wv": "attention.", "wo": "attention."}.get(name, "")
    part = "feed_forward." if name in ("w1", "w2", "w3") else part
    return [f"layers.{index}.{part}{name}.weight" for index in range(n_layers)]


def read_tensor(cursor: Cursor, data: mmap.mmap, name: str, shape: tuple[int, ...], group: int) -> StoredTensor:
    """The next tensor: float32, or 8-bit integers and after them a float32 scale for each `group` of them."""
    n = cursor.elements(shape, name)
    if not group:
        start = cursor.move(4 * n, name)
        return StoredTensor(name, shape, "F32", partial(floats, data, start, shape))
    if n % group:
        raise cursor.fail(f"{name} has {n} numbers, which do not divide in groups of {group}")
    start, scales = cursor.move(n, name), cursor.move(4 * (n // group), f"the scales of {name}")
    return StoredTensor(name, shape, "Q8", partial(scaled, data, start, scales, shape, group))


def floats(data: mmap.mmap, start: int, shape: tuple[int, ...]) -> Array:
    """float32 numbers where they lie in the file."""
    count = int(np.prod(shape, dtype=np.int64))
    return np.frombuffer(data, dtype=np.float32, count=count, offset=start).reshape(shape)


def scaled(data: mmap.mmap, start: int, scales: int, shape: tuple[int, ...], group: int) -> Array:
    """Groups of 8-bit integers times their scales."""
    n = int(np.prod(shape, dtype=np.int64))
    numbers = np.frombuffer(data, dtype=np.int8, count=n, offset=start).reshape(-1, group).astype(np.float32)
    numbers *= np.frombuffer(data, dtype=np.float32, count=n // group, offset=scales)[:, None]
    return numbers.reshape(shape)


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
    """A tokenizer.bin: scores and spellings of a SentencePiece vocabulary, in the order of their ids."""
    from clearhead.text.gguf_vocabulary import gguf_tokenizer

    cursor = Cursor(map_file(path), path.name)
    cursor.number(U32, "the length of the longest token")
    scores, tokens = [], []
    for token in range(vocab_size):
        scores.append(struct.unpack("<f", cursor.take(F32.size, f"the score of token {token}"))[0])
        tokens.append(cursor.text(I32, f"token {token}", limit=LONGEST_TOKEN))
    return gguf_tokenizer(as_metadata(tokens, scores))


def as_metadata(tokens: list[str], scores: list[float]) -> dict[str, Any]:
    """The vocabulary as a GGUF file would state it. llama2.c writes spaces for U+2581, and frames with newlines."""
    normal, unknown, control, byte = 1, 2, 3, 6
    names = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
    types = [unknown, control, control, *[byte] * 256]
    n = len(names) if tokens[3:259] == names[3:] else 3  # a vocabulary without bytes has its words from id 3 on
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": names[:n] + [token.replace(" ", "\u2581") for token in tokens[n:]],
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": types[:n] + [normal] * (len(tokens) - n),
    }
