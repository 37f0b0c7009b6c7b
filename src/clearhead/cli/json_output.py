"""Results as one JSON object, strict enough for any reader: no NaN, no raw control characters, no lone surrogates."""

import json
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

UNSAFE = re.compile(r"[\x7f-\x9f\ud800-\udfff]")  # json.dumps escapes the other controls itself


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Write `value` to standard output; `indent` None makes it one line."""
    text = json.dumps(plain(value), ensure_ascii=False, indent=indent, allow_nan=False)
    sys.stdout.write(UNSAFE.sub(lambda m: f"\\u{ord(m[0]):04x}", text) + "\n")
    sys.stdout.flush()


def plain(value: Any) -> Any:
    """The value in JSON's own types; a number that is not finite becomes null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value
