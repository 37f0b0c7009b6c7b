"""CTranslate2's model.bin, binary versions 4 to 6: a name and a revision, then variables, then second names for some.

Format: CTranslate2, `python/ctranslate2/specs/model_spec.py` (`_serialize`) and `src/models/model.cc`. Variables
without dimensions are switches. Integers of 8 or 16 bits are weights times a scale for each row, or one for all.
"""

import mmap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from clearhead.checkpoints.cursor import U8, U16, U32, Cursor, release
from clearhead.checkpoints.stored import Array, Bytes, StoredTensor
from clearhead.errors import CheckpointError

TYPES = ("float32", "int8", "int16", "int32", "float16", "bfloat16")  # by the number the file gives
FLOATS, SCALED = ("float32", "float16", "bfloat16"), ("int8", "int16")
STRINGS = ("unk_token", "bos_token", "eos_token")  # stored as characters before there was a config.json
MOST_VARIABLES, MOST_DIMENSIONS = 2**16, 4


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelBin:
    """What the file holds. `aliases` maps each second name to the first, under which the numbers are stored."""

    spec: str
    binary_version: int
    revision: int
    switches: Mapping[str, int | float | str]
    tensors: Mapping[str, StoredTensor]
    aliases: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Variable:
    """One array and where its bytes are."""

    data: mmap.mmap
    dtype: str
    shape: tuple[int, ...]
    start: int

    def numbers(self) -> Array:
        """The array as it is stored."""
        n = int(np.prod(self.shape, dtype=np.int64))
        return np.frombuffer(self.data, dtype=numpy_type(self.dtype), count=n, offset=self.start).reshape(self.shape)

    def release(self) -> None:
        """Give back the memory that reading it took."""
        release(self.data, self.start, int(np.prod(self.shape, dtype=np.int64)) * item_size(self.dtype))


def is_model_bin(head: bytes) -> bool:
    """Whether a file that begins with these bytes (at least 16) is CTranslate2's."""
    version, length = U32.unpack_from(head)[0], U16.unpack_from(head, 4)[0]
    return 2 <= version <= 64 and 1 <= length <= 256 and (head[6 : 6 + length - 1].isalnum() or length == 1)


def read_model_bin(data: mmap.mmap, where: str) -> ModelBin:
    """Switches and tensors, tensors unread.

    Raises:
        CheckpointError: a version that is not read here, damage, or variables that contradict each other.
    """
    cursor = Cursor(data, where)
    version = cursor.number(U32, "the binary version")
    if version not in (4, 5, 6):
        raise CheckpointError(f"{where} has binary version {version}; Clearhead reads 4 to 6: convert the model again")
    spec, revision = cursor.name(U16, "the specification's name"), cursor.number(U32, "the revision")
    n = cursor.count(U32, "the number of variables", limit=MOST_VARIABLES, each=9)
    variables: dict[str, Variable] = {}
    for _ in range(n):
        key = cursor.name(U16, "a variable's name")
        if key in variables:
            raise cursor.fail(f"variable {key} is repeated")
        variables[key] = read_variable(cursor, data, key)
    aliases = read_aliases(cursor, variables)
    if cursor.at != cursor.size:
        raise cursor.fail(f"{cursor.size - cursor.at} bytes follow the last variable")
    strings = {key: cursor.decode(variables.pop(key).numbers().tobytes(), key) for key in STRINGS if key in variables}
    scales = scale_names(variables)
    return ModelBin(
        spec=spec,
        binary_version=version,
        revision=revision,
        switches={k: v.numbers().item() for k, v in variables.items() if not v.shape and k not in scales} | strings,
        tensors=with_aliases(stored(cursor, variables), aliases),
        aliases=aliases,
    )


def read_variable(cursor: Cursor, data: mmap.mmap, key: str) -> Variable:
    """One variable; its bytes are stepped over."""
    rank = cursor.count(U8, f"the number of dimensions of {key}", limit=MOST_DIMENSIONS, each=4)
    shape = tuple(cursor.number(U32, f"a dimension of {key}") for _ in range(rank))
    code = cursor.number(U8, f"the type of {key}")
    if code >= len(TYPES):
        raise cursor.fail(f"{key} has the unknown type {code}")
    length, wanted = cursor.number(U32, f"the size of {key}"), cursor.elements(shape, key) * item_size(TYPES[code])
    if length != wanted:
        raise cursor.fail(f"{key} {list(shape)} of {TYPES[code]} takes {wanted} bytes, not {length}")
    return Variable(data, TYPES[code], shape, cursor.move(length, key))


def read_aliases(cursor: Cursor, variables: Mapping[str, Variable]) -> dict[str, str]:
    """Second names of variables that are stored once."""
    aliases: dict[str, str] = {}
    for _ in range(cursor.count(U32, "the number of aliases", limit=MOST_VARIABLES, each=4)):
        alias, target = cursor.name(U16, "an alias"), cursor.name(U16, "an alias's variable")
        if alias in aliases or alias in variables or target not in variables or not variables[target].shape:
            raise cursor.fail(f"alias {alias} of {target} is repeated, or names nothing")
        aliases[alias] = target
    return aliases


def scale_names(variables: Mapping[str, Variable]) -> set[str]:
    """The variables that are scales of others."""
    return {f"{key}_scale" for key, v in variables.items() if v.dtype in SCALED and v.shape}


def stored(cursor: Cursor, variables: Mapping[str, Variable]) -> dict[str, StoredTensor]:
    """The arrays, integers joined with their scales."""
    scales = scale_names(variables)
    tensors: dict[str, StoredTensor] = {}
    for key, v in variables.items():
        if not v.shape or key in scales:
            continue
        if v.dtype in FLOATS:
            tensors[key] = StoredTensor(key, v.shape, v.dtype, v.numbers, release=v.release)
        elif v.dtype in SCALED:
            scale = checked_scale(cursor, key, v, variables.get(f"{key}_scale"))
            rows = partial(scaled_rows, v, scale) if v.dtype == "int8" and len(v.shape) == 2 else None
            tensors[key] = StoredTensor(key, v.shape, v.dtype, partial(unscaled, v, scale), rows, v.release)
        else:
            raise cursor.fail(f"{key} is {v.dtype}, and weights are floats, or small integers with scales")
    return tensors


def checked_scale(cursor: Cursor, key: str, weight: Variable, scale: Variable | None) -> Variable:
    """The scales of a weight, one or as many as it has rows."""
    if scale is None or scale.dtype not in FLOATS or scale.shape not in ((), (1,), weight.shape[:1]):
        raise cursor.fail(f"{key} {list(weight.shape)} of {weight.dtype} needs {key}_scale: one number, or one a row")
    return scale


def unscaled(weight: Variable, scale: Variable) -> Array:
    """float32 from integers: what was multiplied by the scale on the way in is divided by it."""
    result = weight.numbers().astype(np.float32)
    divisor = scale.numbers().astype(np.float32).reshape(-1, *[1] * (len(weight.shape) - 1))
    with np.errstate(all="ignore"):  # the scales of a damaged file may be zero
        result /= divisor
    return result


def scaled_rows(weight: Variable, scale: Variable) -> Bytes:
    """[rows, columns + 4]: each row's integers, then the float32 that they are to be multiplied by."""
    rows, columns = weight.shape
    result = np.empty((rows, columns + 4), dtype=np.uint8)
    result[:, :columns] = weight.numbers().view(np.uint8)
    divisor = np.broadcast_to(scale.numbers().astype(np.float32).reshape(-1), rows)
    with np.errstate(all="ignore"):  # the scales of a damaged file may be zero
        result[:, columns:] = (1 / divisor).astype(np.float32)[:, None].view(np.uint8)
    return result


def with_aliases(tensors: dict[str, StoredTensor], aliases: Mapping[str, str]) -> dict[str, StoredTensor]:
    """The tensors under all their names; a tensor of two names is read by one function."""
    return tensors | {a: replace(tensors[t], name=a) for a, t in aliases.items() if t in tensors}


def item_size(dtype: str) -> int:
    """Bytes of one number."""
    return {"float32": 4, "int32": 4, "int8": 1}.get(dtype, 2)


def numpy_type(dtype: str) -> np.dtype[Any]:
    """NumPy's type of this name."""
    if dtype == "bfloat16":
        import ml_dtypes  # noqa: F401  adds the name
    return np.dtype(dtype)
