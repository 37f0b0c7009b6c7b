"""Packed weights in one file, read as memory: processes that use one model share its pages, and a start reads nothing.

    bytes 0 to 63      magic, version, then where the table lies and how long it is, and its CRC-32
    from 64            the data of each weight, each at a multiple of 64
    at the end         the table, as JSON: who made the file from what, and each weight's form, place and CRC-32

A file is trusted no further than its bytes: every claim of the table is held against the configuration and the length
of the file before it is used.
"""

import json
import mmap
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from clearhead.checkpoints.stored import Array, Blocks, Bytes
from clearhead.config import ModelConfig
from clearhead.errors import CheckpointError
from clearhead.families.layout import Shape, is_matrix, layout
from clearhead.native import _native
from clearhead.native.packing import (
    ALIGNMENT,
    Format,
    PackedMatrix,
    PackedWeights,
    aligned,
    floats,
    format_for,
    pack_matrix,
)

MAGIC = b"clearhead packed"
VERSION: int = _native.PACKED_VERSION  # of the layout of matrices and of this file; another one is packed again
PRELUDE = struct.Struct("<16sIQQI")  # magic, version, start and length of the table, its CRC-32
FORMATS = ("float32", "bfloat16", "int8", "int4")
LARGEST_TABLE = 2**26  # bytes


def write_packed(
    file: BinaryIO,
    config: ModelConfig,
    weights: Iterable[tuple[str, Array | Blocks]],
    dtype: str,
    made_from: Mapping[str, Any],
) -> None:
    """Pack a model's weights into a file, one at a time."""
    file.write(bytes(ALIGNMENT))
    table: dict[str, Any] = {"made_from": dict(made_from), "weights": []}
    for name, value in weights:
        entry: dict[str, Any] = {"name": name, "shape": list(value.shape)}
        if is_matrix(name, value.shape):
            form = format_for(config, name, value, dtype)
            data = aligned(form.bytes(value.shape))
            pack_matrix(name, value, form, data)
            entry |= {"format": form.name, "minima": form.minima, "group": form.group}
        else:
            data = floats(value).reshape(-1).view(np.uint8)
        entry |= {"start": file.tell(), "bytes": data.nbytes, "crc": zlib.crc32(data.data)}
        table["weights"].append(entry)
        file.write(data.data)
        file.write(bytes(-data.nbytes % ALIGNMENT))
    start, text = file.tell(), json.dumps(table).encode()
    file.write(text)
    file.seek(0)
    file.write(PRELUDE.pack(MAGIC, VERSION, start, len(text), zlib.crc32(text)))


def read_table(data: Bytes, where: str) -> dict[str, Any]:
    """The table of a packed file.

    Raises:
        CheckpointError: the file is no packed file of this version, or is damaged.
    """
    if len(data) < ALIGNMENT:
        raise CheckpointError(f"{where}: no packed weights; the file is too short")
    magic, version, start, length, crc = PRELUDE.unpack(bytes(data[: PRELUDE.size]))
    if magic != MAGIC or version != VERSION:
        raise CheckpointError(f"{where}: no packed weights of version {VERSION}")
    if start + length != len(data) or length > LARGEST_TABLE:
        raise CheckpointError(f"{where}: packed weights that end too early, or too late")
    text = bytes(data[start:])
    if zlib.crc32(text) != crc:
        raise CheckpointError(f"{where}: packed weights whose table is damaged")
    table = json.loads(text)
    if not isinstance(table, dict) or not isinstance(table.get("weights"), list):
        raise CheckpointError(f"{where}: packed weights whose table is damaged")
    return table


def map_packed(path: Path) -> Bytes:
    """The bytes of a file, without reading them.

    Raises:
        OSError: it cannot be opened.
        CheckpointError: it is empty.
    """
    with path.open("rb") as file:
        try:
            return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), dtype=np.uint8)
        except ValueError:
            raise CheckpointError(f"{path.name}: an empty file") from None


def read_packed(path: Path, config: ModelConfig) -> tuple[PackedWeights, dict[str, Any]]:
    """The weights of a packed file, as views of it, and what it was made from.

    Raises:
        OSError: the file cannot be opened.
        CheckpointError: it does not hold exactly the weights of `config`.
    """
    data = map_packed(path)
    table = read_table(data, path.name)
    shapes = layout(config)
    matrices, arrays = {}, {}
    try:
        for entry in table["weights"]:
            name = entry["name"]
            shape = shapes.pop(name)
            part = place(data, entry, shape)
            if is_matrix(name, shape):
                form = form_of(entry)
                if form.bytes(shape) != part.nbytes:
                    raise ValueError(name)
                matrices[name] = PackedMatrix(form, shape[0], shape[1], part)
            else:
                arrays[name] = part.view(np.float32).reshape(shape)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path.name}: packed weights that are damaged, or of another model ({error})") from None
    if shapes:
        raise CheckpointError(f"{path.name}: packed weights that lack {min(shapes)}")
    return PackedWeights(matrices, arrays, path), table["made_from"]


def place(data: Bytes, entry: Mapping[str, Any], shape: Shape) -> Bytes:
    """The bytes of one weight; ValueError if they do not lie in the file as they should."""
    start, size = entry["start"], entry["bytes"]
    plain = type(start) is int and type(size) is int
    if not plain or start < ALIGNMENT or start % ALIGNMENT or size < 1 or start + size > len(data):
        raise ValueError(entry["name"])
    if tuple(entry["shape"]) != shape:
        raise ValueError(entry["name"])
    return data[start : start + size]


def form_of(entry: Mapping[str, Any]) -> Format:
    """The format an entry names; ValueError if there is none such."""
    form = Format(entry["format"], entry["minima"], entry["group"])
    if form.name not in FORMATS or form.group not in (32, 64, 128) or type(form.minima) is not bool:
        raise ValueError(entry["name"])
    return form


def damaged(path: Path) -> list[str]:
    """The weights of a packed file whose bytes are not those that were written.

    Raises:
        CheckpointError: the table itself is damaged.
    """
    data = map_packed(path)
    entries = read_table(data, path.name)["weights"]
    return [e["name"] for e in entries if zlib.crc32(data[e["start"] : e["start"] + e["bytes"]].data) != e["crc"]]
