"""A trace on disk: one safetensors file, whose arrays a run can fill in place, so that a trace may outgrow the memory.

The file has its full size from the start and its arrays are mapped: what the kernels write goes to its pages. Its
header holds the tokens, which are known only at the end; room is kept for them, and blanks fill what is left of it.
"""

import json
import math
import os
import shutil
import struct
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from clearhead.config import ModelConfig, RotaryScaling
from clearhead.errors import ClearheadError, OptionError
from clearhead.trace.trace import Array, Shapes, Span, Trace

FORMAT = "clearhead-trace/1"
DTYPES: dict[str, Any] = {"F32": np.float32, "F64": np.float64}
MOST_HEADER = 100_000_000  # bytes, as safetensors has it
BYTES_A_TOKEN = 600  # of the header: an id, a spelling and a text, with escapes
SPARE = 4096  # bytes more than is expected
ALIGNED = 64


class TraceFile:
    """A file with room for all arrays of a trace, for `tokens` tokens' spellings, and `about` bytes on the model.

    Raises:
        OptionError: the file cannot be written, exists already, or the disk has no room for it.
    """

    def __init__(
        self, path: str | Path, shapes: Mapping[str, tuple[int, ...]], dtype: Any, *, tokens: int, about: int
    ) -> None:
        self.path = Path(path)
        name = next(name for name, known in DTYPES.items() if np.dtype(known) == np.dtype(dtype))
        self.entries: dict[str, dict[str, Any]] = {}
        end = 0
        for key, shape in shapes.items():
            size = math.prod(shape) * np.dtype(dtype).itemsize
            self.entries[key] = {"dtype": name, "shape": list(shape), "data_offsets": [end, end + size]}
            end += size
        header = len(compact(self.entries).encode()) + about + BYTES_A_TOKEN * tokens
        if header > MOST_HEADER:
            raise OptionError(f"{self.path} would need a header of {header} bytes for {tokens} tokens; trace fewer")
        self.start = -(-(8 + header) // ALIGNED) * ALIGNED
        self.create(self.start + end)

    def create(self, size: int) -> None:
        """The empty file in full length, every block of it taken: a disk that fills up later cannot break the run."""
        try:
            free = shutil.disk_usage(self.path.absolute().parent).free
            if size > free:
                raise OptionError(
                    f"{self.path} would take {size / 1e9:.1f} GB and the disk has {free / 1e9:.1f} GB free; narrow the "
                    "trace with layers, heads or kinds, or name another disk"
                )
            with self.path.open("xb") as file:
                try:
                    take(file.fileno(), size)
                except BaseException:
                    self.discard()
                    raise
        except FileExistsError:
            raise OptionError(f"{self.path} exists; name a new file, or remove it first") from None
        except OSError as error:
            raise OptionError(f"{self.path} cannot be written: {error.strerror or error}") from None

    def allocate(self, shapes: Shapes, dtype: Any) -> dict[str, Array]:
        """The mapped arrays of some places."""
        return {path: self.map(path, shape, dtype) for path, shape in shapes.items()}

    def map(self, path: str, shape: tuple[int, ...], dtype: Any) -> Array:
        """That of one."""
        entry = self.entries[path]
        assert entry["shape"] == list(shape) and DTYPES[entry["dtype"]] == dtype, path
        if math.prod(shape) == 0:
            return np.zeros(shape, dtype)
        return np.memmap(self.path, dtype, "r+", self.start + entry["data_offsets"][0], shape)

    def finish(self, trace: Trace) -> None:
        """Write the header; the file is a trace from now on, and the trace's arrays are only to be read.

        Spellings that turned out longer than there is room for are left out: ids say the same.
        """
        about = metadata(trace)
        if self.header(about) is None:
            about = metadata(trace, spelled=False)
        self.write_header(about)
        trace.arrays = {key: self.read_only(key) for key in trace.arrays}

    def header(self, about: Mapping[str, str]) -> bytes | None:
        """The header with these metadata, or None where it has no room for them."""
        text = compact({"__metadata__": about, **self.entries}).encode()
        return text.ljust(self.start - 8) if len(text) <= self.start - 8 else None

    def write_header(self, about: Mapping[str, str]) -> None:
        """Write it at the beginning of the file."""
        header = self.header(about)
        if header is None:
            raise OptionError(f"{self.path} has no room for what is to be said of the trace; name fewer tokens")
        with self.path.open("r+b") as file:
            file.write(struct.pack("<Q", len(header)) + header)

    def read_only(self, key: str) -> Array:
        """One array, no longer to be written."""
        entry = self.entries[key]
        shape, dtype = tuple(entry["shape"]), DTYPES[entry["dtype"]]
        if math.prod(shape) == 0:
            return np.zeros(shape, dtype)
        return np.memmap(self.path, dtype, "r", self.start + entry["data_offsets"][0], shape)

    def discard(self) -> None:
        """Remove a file that never became a trace."""
        self.path.unlink(missing_ok=True)


def take(file: int, size: int) -> None:
    """Make an open file `size` bytes long, its blocks taken where the system can do that (macOS, Windows cannot)."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.truncate(file, size)


def metadata(trace: Trace, *, spelled: bool = True, whole: bool = True) -> dict[str, str]:
    """What a trace is besides its arrays, as safetensors wants it: texts by name. Arrays are as long as the trace's
    room, or where they are not `whole`, as what is filled of it."""
    ids = {stack: [str(i) for i in row] for stack, row in trace.ids.items()}
    about = {
        "config": asdict(trace.config),
        "model": trace.model,
        "heads": list(trace.choice.heads),
        "ids": trace.ids,
        "pieces": trace.pieces if spelled else ids,
        "texts": trace.texts if spelled else ids,
        "special": trace.special,
        "n_prompt": trace.n_prompt,
        "spans": {
            stack: [s.first, s.rows if whole else s.filled, s.filled, s.memory] for stack, s in trace.spans.items()
        },
    }
    return {"format": FORMAT, "trace": compact(about)}


def room_for(trace: Trace) -> int:
    """Bytes of the header that a run's trace needs besides its tokens."""
    return len(compact(metadata(trace)).encode()) + SPARE


def compact(value: Any) -> str:
    """JSON without blanks, in the letters themselves: spellings are full of those that are not ASCII."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def save(trace: Trace, path: str | Path) -> None:
    """Write a trace, complete or not at all.

    Raises:
        OptionError: the file cannot be written or exists already, or the disk is too small.
    """
    shapes = {key: trace[key].shape for key in trace.paths}
    dtype = next((array.dtype for array in trace.arrays.values()), np.dtype(np.float32))
    whole = Path(path)
    if whole.exists():
        raise OptionError(f"{whole} exists; name a new file, or remove it first")
    about = metadata(trace, whole=False)
    room = len(compact(about).encode()) + SPARE
    file = TraceFile(whole.with_name(whole.name + ".part"), shapes, dtype, tokens=0, about=room)
    try:
        for key, shape in shapes.items():
            np.copyto(file.map(key, shape, dtype.type), trace[key])
        file.write_header(about)
        file.path.replace(whole)
    except BaseException:
        file.discard()
        raise


def load(path: str | Path, kind: type[Trace] = Trace) -> Trace:
    """Open a trace that was saved or spilled; its arrays are mapped, and read when they are looked at.

    Raises:
        OptionError: no trace, a damaged or truncated one, or a file that cannot be read.
    """
    where = Path(path)
    try:
        header, start, size = read_header(where)
        about = json.loads(header.pop("__metadata__")["trace"])
        trace = kind(config_of(about["config"]), heads=about["heads"], model=about["model"])
        for name in ("ids", "pieces", "texts", "special", "n_prompt"):
            setattr(trace, name, about[name])
        trace.spans = {
            s: Span(first, rows, filled, memory=memory) for s, (first, rows, filled, memory) in about["spans"].items()
        }
        check_seen(trace)
        trace.arrays = {key: mapped(where, trace, key, entry, start, size) for key, entry in header.items()}
        check_extent(header, size - start)
    except OSError as error:
        raise OptionError(f"{where} cannot be read: {error.strerror or error}") from None
    except (ClearheadError, ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise OptionError(f"{where} is no trace, or a damaged one: {error}") from None
    return trace


def read_header(path: Path) -> tuple[dict[str, Any], int, int]:
    """The header of a safetensors file, where its data begins, and the size of the file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if not 2 <= length <= min(MOST_HEADER, size - 8):
            raise ValueError(f"a header of {length} bytes in a file of {size}")
        header = json.loads(file.read(length))
    if header["__metadata__"]["format"] != FORMAT:
        raise ValueError(f"its format is {header['__metadata__']['format']!r}, not {FORMAT!r}")
    return header, 8 + length, size


def mapped(path: Path, trace: Trace, key: str, entry: Mapping[str, Any], start: int, size: int) -> Array:
    """One array of the file, its place and extent checked."""
    place = trace.choice.places[key]
    span = trace.spans[place.stack]
    shape = trace.shape(place, span.rows, span.first + span.rows, span.memory)
    dtype = np.dtype(DTYPES[entry["dtype"]])
    first, last = entry["data_offsets"]
    if list(shape) != entry["shape"] or last - first != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{key} has shape {entry['shape']} and {last - first} bytes; its run made {list(shape)}")
    if not 0 <= first <= last <= size - start:
        raise ValueError(f"{key} lies beyond the end of the file, which was cut short")
    return np.memmap(path, dtype, "r", start + first, shape) if last > first else np.zeros(shape, dtype)


def check_seen(trace: Trace) -> None:
    """Refuse what no run leaves behind: views count on it."""
    for stack, span in trace.spans.items():
        if stack not in trace.stacks() or not 0 <= span.filled <= span.rows or min(span.first, span.memory) < 0:
            raise ValueError(f"{span.filled} of {span.rows} tokens of the {stack} from position {span.first} on")
    for name, kind in (("ids", int), ("pieces", str), ("texts", str), ("special", bool)):
        for stack, row in getattr(trace, name).items():
            if len(row) != len(trace.ids[stack]) or any(type(each) is not kind for each in row):
                raise ValueError(f"the {name} of the {stack} are not one {kind.__name__} for each of its tokens")
    if not isinstance(trace.model, str):
        raise ValueError(f"a model called {trace.model!r:.40}")
    if type(trace.n_prompt) is not int or not 0 <= trace.n_prompt <= len(trace.ids.get("decoder", ())):
        raise ValueError(f"a prompt of {trace.n_prompt!r} tokens")


def check_extent(header: Mapping[str, Any], size: int) -> None:
    """Arrays lie one behind the other, to the end of the file, as safetensors has it."""
    end = 0
    for first, last in sorted(entry["data_offsets"] for entry in header.values()):
        if first != end:
            raise ValueError(f"its arrays overlap, or leave a gap, at byte {end} of the data")
        end = last
    if end != size:
        raise ValueError(f"its arrays end at byte {end} of {size}")


def config_of(fields: Mapping[str, Any]) -> ModelConfig:
    """A configuration from its fields."""
    read = with_tuples(fields)
    if read.get("rotary_scaling") is not None:
        read["rotary_scaling"] = RotaryScaling(**with_tuples(read["rotary_scaling"]))
    return ModelConfig(**read)


def with_tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    """JSON's lists as the tuples they were."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
