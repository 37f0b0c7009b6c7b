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


def print_json(value: Any) -> None:
    """Write `value` to standard output, each of its fields or items on a line of its own."""
    ready = plain(value)
    if isinstance(ready, dict) and ready:
        text = "{\n" + ",\n".join(f"  {encoded(key)}: {encoded(item)}" for key, item in ready.items()) + "\n}"
    elif isinstance(ready, list) and ready:
        text = "[\n" + ",\n".join(f"  {encoded(item)}" for item in ready) + "\n]"
    else:
        text = encoded(ready)
    write_line(text)


def print_result(value: Mapping[str, Any], line: int | None) -> None:
    """One of many results on a line of its own, behind the number of the input's line; a single one set out wide."""
    if line is None:
        print_json(value)
    else:
        print_json_line({"line": line, **value})


def print_json_line(value: Any) -> None:
    """Write `value` as one line, for a stream of them."""
    write_line(encoded(plain(value)))


def encoded(value: Any) -> str:
    """One line of JSON."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def write_line(text: str) -> None:
    """To standard output, at once."""
    sys.stdout.write(text + "\n")
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
