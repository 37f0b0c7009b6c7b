"""The parts of an ONNX graph that hold weights: its constants, and which operation uses them under which name.

An ONNX file is one protocol-buffer message (onnx.proto3): fields of a number and a wire type, one behind the other, and
messages inside messages. Four kinds of message matter here, a handful of fields of each; all else is stepped over.
Every length is checked against the message it is in before anything is read or made of it.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import ml_dtypes
import numpy as np

from clearhead.checkpoints.cursor import map_file
from clearhead.checkpoints.stored import Array
from clearhead.errors import CheckpointError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
LONGEST_VARINT = 10  # bytes of 64 bits, seven at a time
MOST_NODES = 1_000_000  # of a graph; the largest exports have tens of thousands
MOST_DIMS = 8
AGAIN = "the file is damaged, download it again"
DTYPES: dict[int, np.dtype[np.generic]] = {  # TensorProto.DataType
    1: np.dtype("<f4"),
    2: np.dtype("u1"),
    3: np.dtype("i1"),
    6: np.dtype("<i4"),
    7: np.dtype("<i8"),
    10: np.dtype("<f2"),
    11: np.dtype("<f8"),
    16: np.dtype(ml_dtypes.bfloat16),
}
Value = int | memoryview


@dataclass(frozen=True, slots=True)
class Constant:
    """A tensor of the graph, unread: `data` is what lies in the file, [out of the mapped bytes], row by row."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    data: memoryview

    def read(self) -> Array:
        """The values, where they lie in the file."""
        return np.frombuffer(self.data, dtype=self.dtype).reshape(self.shape)


@dataclass(frozen=True, slots=True)
class Node:
    """One operation: the names of what goes in and what comes out."""

    name: str
    operation: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    numbers: dict[str, int] = field(default_factory=dict)  # its attributes that are whole numbers


@dataclass(frozen=True, slots=True)
class Graph:
    """What computes, and with which numbers."""

    nodes: tuple[Node, ...]
    constants: dict[str, Constant]


def read_graph(path: Path) -> Graph:
    """The graph of a file.

    Raises:
        CheckpointError: it is no ONNX file, is damaged, or keeps its weights in other files.
    """
    where = path.name
    graph = next((value for number, value in fields(memoryview(map_file(path)), where) if number == 7), None)
    if not isinstance(graph, memoryview):
        raise CheckpointError(f"{where} holds no ONNX graph; it is damaged, or no ONNX file")
    nodes: list[Node] = []
    constants: dict[str, Constant] = {}
    for number, value in fields(graph, where):
        if number == 1:
            node = read_node(message(value, where), where)
            nodes.append(node)
        elif number == 5:
            constant = read_constant(message(value, where), where)
            if constant.name in constants:
                raise CheckpointError(f"{where}: constant {constant.name} is there twice; one must go")
            constants[constant.name] = constant
        if len(nodes) > MOST_NODES:
            raise CheckpointError(f"{where} has more than {MOST_NODES} operations; it is damaged")
    return Graph(nodes=tuple(nodes), constants=constants)


def read_node(data: memoryview, where: str) -> Node:
    """A NodeProto."""
    names: dict[int, list[str]] = {1: [], 2: [], 3: [], 4: []}
    numbers: dict[str, int] = {}
    for number, value in fields(data, where):
        if number in names:
            names[number].append(text(value, where))
        elif number == 5:
            numbers |= read_attribute(message(value, where), where)
    return Node(
        name=(names[3] or [""])[-1],
        operation=(names[4] or [""])[-1],
        inputs=tuple(names[1]),
        outputs=tuple(names[2]),
        numbers=numbers,
    )


def read_attribute(data: memoryview, where: str) -> dict[str, int]:
    """An AttributeProto that is a whole number; nothing of any other."""
    name, found = "", None
    for number, value in fields(data, where):
        if number == 1:
            name = text(value, where)
        elif number == 3 and isinstance(value, int):
            found = signed(value)
    return {} if found is None else {name: found}


def read_constant(data: memoryview, where: str) -> Constant:
    """A TensorProto. Large ones lie in the file as they are; small ones may be lists of numbers."""
    held: dict[int, list[Value]] = {}
    for number, value in fields(data, where):
        held.setdefault(number, []).append(value)
    name = text(held.get(8, [memoryview(b"")])[-1], where)
    kind = held.get(2, [0])[-1]
    if any(value != 0 for number in (13, 14) for value in held.get(number, ())):
        raise CheckpointError(f"{where}: {name} lies in another file; ONNX with its weights inside is read")
    if not isinstance(kind, int) or kind not in DTYPES:
        return Constant(name, (0,), np.dtype("u1"), memoryview(b""))  # texts, truth values: no weights
    shape = tuple(repeated(held.get(1, ()), MOST_DIMS, where))
    if any(n < 0 for n in shape):
        raise CheckpointError(f"{where}: constant {name} has the shape {list(shape)}; {AGAIN}")
    raw = message(held[9][-1], where) if 9 in held else listed(held, DTYPES[kind], math.prod(shape), where)
    if math.prod(shape) * DTYPES[kind].itemsize != len(raw):
        raise CheckpointError(f"{where}: constant {name} has the shape {list(shape)} and {len(raw)} bytes; {AGAIN}")
    return Constant(name, shape, DTYPES[kind], raw)


def listed(held: dict[int, list[Value]], dtype: np.dtype[np.generic], count: int, where: str) -> memoryview:
    """The bytes of a tensor whose `count` numbers stand one by one: float32 and float64 as they are, whole numbers as
    varints, and so are the bits of floats of 16 bits.
    """
    if dtype.itemsize > 2 and dtype.kind == "f":
        size, pieces = dtype.itemsize, held.get(4 if dtype.itemsize == 4 else 10, ())
        if any(isinstance(piece, int) and piece >= 256**size for piece in pieces):
            raise CheckpointError(f"{where} has a number of more than {size} bytes where {dtype} belongs; {AGAIN}")
        return memoryview(b"".join(v.to_bytes(size, "little") if isinstance(v, int) else v for v in pieces))
    whole = list(repeated([value for number in (5, 7) for value in held.get(number, ())], count, where))
    try:
        if dtype.kind in "iu":
            return memoryview(np.array(whole, dtype=dtype).tobytes())
        return memoryview(np.array(whole, dtype=np.uint16).tobytes())
    except OverflowError:
        raise CheckpointError(f"{where} has a number that {dtype} cannot hold; {AGAIN}") from None


def fields(data: memoryview, where: str) -> Iterator[tuple[int, Value]]:
    """The fields of a message: number, and a whole number or bytes."""
    at, size = 0, len(data)
    while at < size:
        key, at = varint(data, at, where)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, at = varint(data, at, where)
            yield number, value
            continue
        if wire == BYTES:
            length, at = varint(data, at, where)
        elif wire in (FIXED32, FIXED64):
            length = 4 if wire == FIXED32 else 8
        else:
            raise CheckpointError(f"{where} has a field of wire type {wire}; it is damaged, or no ONNX file")
        if length > size - at:
            raise CheckpointError(f"{where} calls for {length} bytes where {size - at} are left; it is damaged")
        piece = data[at : at + length]
        yield number, piece if wire == BYTES else int.from_bytes(piece, "little")
        at += length


def varint(data: memoryview, at: int, where: str) -> tuple[int, int]:
    """A whole number, seven bits a byte, the lowest first; and where it ends."""
    value = 0
    for i in range(LONGEST_VARINT):
        if at + i >= len(data):
            break
        byte = data[at + i]
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value & (2**64 - 1), at + i + 1
    raise CheckpointError(f"{where} ends inside a number; it is damaged, or no ONNX file")


def repeated(values: Iterable[Value], most: int, where: str) -> Iterator[int]:
    """The numbers of a repeated field, which stand one by one, or packed together.

    Raises:
        CheckpointError: there are more than `most`, so that the file is damaged.
    """
    found = 0
    for value in values:
        at, size = 0, 1 if isinstance(value, int) else len(value)
        while at < size:
            if isinstance(value, int):
                number, at = value, 1
            else:
                number, at = varint(value, at, where)
            found += 1
            if found > most:
                raise CheckpointError(f"{where} has more than {most} numbers where so many belong; {AGAIN}")
            yield signed(number)


def signed(value: int) -> int:
    """Two's complement of 64 bits."""
    return value - 2**64 if value >= 2**63 else value


def message(value: Value, where: str) -> memoryview:
    """A field that holds bytes."""
    if isinstance(value, int):
        raise CheckpointError(f"{where} has a number where a message belongs; it is damaged")
    return value


def text(value: Value, where: str) -> str:
    """A field that holds a name, one that a message may show."""
    try:
        found = str(message(value, where), "utf-8")
    except UnicodeDecodeError:
        raise CheckpointError(f"{where} has a name that is not UTF-8 text; it is damaged") from None
    if not found.isprintable():
        raise CheckpointError(f"{where} has the name {ascii(found)[:60]}, which holds control characters")
    return found
