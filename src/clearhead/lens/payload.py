"""What a page is given to show: token lists, arrays and views, in one JSON form that every page reads.

    {"format": "clearhead-lens/1", "title": ..., "model": {...},
     "tokens": {name: [{"text", "piece", "id", "special", "generated"}, ...]},
     "arrays": {name: {"dtype", "shape", "levels", "encoding", "data"}},
     "views":  [{"type", "title", ...}, ...]}

A view names the token lists and arrays it shows. An array is little-endian in C order, in base64; `encoding` is
"deflate" where it was compressed (RFC 1950) before. `levels` is "sqrt" where bytes stand for weights from 0 to 1:
(byte / 255)^2, so that a weight of 4e-6 can still be seen. `web/src/contract.ts` is the reader of this.
"""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from clearhead.errors import OptionError
from clearhead.text.printable import one_line

FORMAT = "clearhead-lens/1"
DTYPES = {"u8": np.uint8, "i32": np.int32, "f32": np.float32, "f64": np.float64}
COMPRESSED_FROM = 4096  # bytes; below, compression gains nothing worth a step more in the page
ROOM = 24 * 2**20  # bytes, compressed, that a view may take on a page for what it could leave out
SHORT = 2 * 2**20  # the same in a cell of a notebook, which is loaded and saved whole
LEVEL = 4  # of zlib: half the time of level 6 for an eighth more bytes, measured on attention

Levels = Literal["linear", "sqrt"]
Encoding = Literal["plain", "deflate"]


@dataclass(frozen=True, slots=True)
class Token:
    """One token as a page shows it; `text` is harmless: controls and what turns the direction are escaped."""

    text: str
    piece: str
    id: int
    special: bool = False
    generated: bool = False


@dataclass(frozen=True, slots=True)
class PackedArray:
    """An array ready to travel."""

    dtype: str
    shape: tuple[int, ...]
    levels: Levels
    encoding: Encoding
    data: bytes  # compressed where `encoding` says so

    @property
    def base64(self) -> str:
        """The data as text."""
        return base64.b64encode(self.data).decode("ascii")

    def header(self) -> dict[str, Any]:
        """All but the data."""
        return {"dtype": self.dtype, "shape": list(self.shape), "levels": self.levels, "encoding": self.encoding}


def pack(array: NDArray[Any], dtype: str | None = None, levels: Levels = "linear") -> PackedArray:
    """An array as it travels; "sqrt" levels make bytes of weights.

    Raises:
        OptionError: a dtype that pages do not read, whole numbers that do not fit it, or weights outside 0 to 1.
    """
    if levels == "sqrt":
        array, dtype = to_levels(array), "u8"
    dtype = dtype or {"f": "f32", "i": "i32", "u": "i32", "b": "u8"}.get(array.dtype.kind, "")
    if dtype not in DTYPES:
        raise OptionError(f"a page cannot read arrays of {dtype or array.dtype}; choose from {', '.join(DTYPES)}")
    if array.size and dtype in ("u8", "i32"):
        low, high = array.min(), array.max()
        limits = np.iinfo(np.uint8 if dtype == "u8" else np.int32)
        if not limits.min <= low <= high <= limits.max:
            raise OptionError(f"numbers from {low} to {high} do not fit a page's {dtype}; send them as f64")
    data = np.ascontiguousarray(array, dtype=np.dtype(DTYPES[dtype]).newbyteorder("<")).tobytes()
    encoding: Encoding = "deflate" if len(data) >= COMPRESSED_FROM else "plain"
    return PackedArray(
        dtype, array.shape, levels, encoding, zlib.compress(data, LEVEL) if encoding == "deflate" else data
    )


def to_levels(weights: NDArray[Any]) -> NDArray[np.uint8]:
    """Weights from 0 to 1 as bytes, finest near 0; only a weight of exactly 0 becomes level 0."""
    if weights.size and not (float(weights.min()) >= 0 and float(weights.max()) <= 1 + 1e-5):
        raise OptionError("weights must lie between 0 and 1 to be shown in levels")
    levels = np.rint(np.sqrt(weights, dtype=np.float32) * 255)
    return np.where(weights > 0, np.clip(levels, 1, 255), 0).astype(np.uint8)


def from_levels(levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The weights that levels stand for."""
    weights: NDArray[np.float32] = np.square(levels.astype(np.float32) / np.float32(255))
    return weights


@dataclass(kw_only=True, slots=True)
class Payload:
    """Token lists, arrays and views of one page, gathered view by view."""

    title: str
    model: Mapping[str, Any] = field(default_factory=dict)
    tokens: dict[str, Sequence[Token]] = field(default_factory=dict)
    arrays: dict[str, PackedArray] = field(default_factory=dict)
    views: list[dict[str, Any]] = field(default_factory=list)
    room: int = ROOM

    def put(self, name: str, array: NDArray[Any], *, dtype: str | None = None, levels: Levels = "linear") -> str:
        """Add an array, and return the name it got: another than asked for, if that stands for another array already.

        So two traces can share a page, and what two views of one trace show travels once.
        """
        packed = pack(array, dtype, levels)
        name = free(self.arrays, name, packed)
        self.arrays[name] = packed
        return name

    def put_tokens(self, name: str, tokens: Sequence[Token]) -> str:
        """Add a list of tokens, and return the name it got, as `put` does."""
        tokens = list(tokens)
        name = free(self.tokens, name, tokens)
        self.tokens[name] = tokens
        return name

    def header(self) -> dict[str, Any]:
        """Everything but the arrays' data, which may travel beside it."""
        return {
            "format": FORMAT,
            "title": self.title,
            "model": dict(self.model),
            "tokens": {name: [asdict(token) for token in tokens] for name, tokens in self.tokens.items()},
            "arrays": {name: array.header() for name, array in self.arrays.items()},
            "views": self.views,
        }

    def to_json(self) -> str:
        """All in one JSON text, in ASCII; numbers that are none become null."""
        whole = self.header()
        for name, array in self.arrays.items():
            whole["arrays"][name]["data"] = array.base64
        return dumps(whole)


def free(known: Mapping[str, Any], name: str, value: Any) -> str:
    """A name under which there is this value or none: `name`, made harmless, or `name (2)` and so on."""
    name = one_line(name)
    names = (name if n == 1 else f"{name} ({n})" for n in count(1))
    return next(name for name in names if name not in known or known[name] == value)


def dumps(value: Any) -> str:
    """JSON in ASCII, so that lone surrogates and direction marks are escapes, with null for NaN and infinities."""
    return json.dumps(finite(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def finite(value: Any) -> Any:
    """The value in JSON's own types."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.integer | np.bool_) else value


def unpack(array: Mapping[str, Any]) -> NDArray[Any]:
    """The array of a JSON form, its length checked.

    Raises:
        OptionError: an unknown dtype or encoding, or data that is damaged or of another length than its shape says.
    """
    if array.get("dtype") not in DTYPES:
        raise OptionError(f"an array's dtype is {array.get('dtype')!r}; choose from {', '.join(DTYPES)}")
    dtype, shape = np.dtype(DTYPES[array["dtype"]]).newbyteorder("<"), tuple(array["shape"])
    size = dtype.itemsize * prod(shape)
    data = unpacked(array["data"], array["encoding"], size)
    if len(data) != size or any(n < 0 for n in shape):
        raise OptionError(f"an array of shape {shape} and dtype {array['dtype']} does not have {size} bytes")
    found = np.frombuffer(data, dtype).reshape(shape)
    return from_levels(found) if array["levels"] == "sqrt" else found


def unpacked(text: str, encoding: str, size: int) -> bytes:
    """The bytes of an array of `size` bytes; of more, just enough to see that they are too many."""
    if encoding not in ("plain", "deflate"):
        raise OptionError(f"an array's encoding is {encoding!r}; choose plain or deflate")
    try:
        data = base64.b64decode(text, validate=True)
        return zlib.decompressobj().decompress(data, max(1, size + 1)) if encoding == "deflate" else data
    except (ValueError, zlib.error) as error:
        raise OptionError(f"the data of an array is damaged: {error}") from None
