"""What is wrong with a recipe, in one line that names the key and the value."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

SUBJECT = re.compile(r"^\w+ should ")  # "Input should be a valid integer", as pydantic says it
LONGEST = 60  # characters of a value that are shown


def explained(error: ValidationError, raw: Mapping[str, Any], root: type[BaseModel]) -> str:
    """The first thing that is wrong with `raw`, as a recipe of class `root`."""
    first, *rest = error.errors()
    path = real_path(first["loc"], raw)
    others = {tuple(found) for e in rest if not startswith(path, found := real_path(e["loc"], raw))}
    if first["type"].startswith("union_tag"):
        path.append("kind")
    text = complaint(first) if first["type"] != "extra_forbidden" else f"there is no such key{near(path, root)}"
    more = f" (and {len(others)} more)" if others else ""
    return f"{'.'.join(map(str, path)) or 'the recipe'}: {text}{more}"


def startswith(path: list[int | str], other: list[int | str]) -> bool:
    """Whether the other place is this one, or a group that holds it and is wrong for that."""
    return path[: len(other)] == other


def complaint(error: Mapping[str, Any]) -> str:
    """What is wrong with a value."""
    kind, message = error["type"], error["msg"]
    if kind in ("missing", "union_tag_not_found"):
        return "is missing"
    if kind == "union_tag_invalid":
        return f"must be one of {error['ctx']['expected_tags']}, not {error['ctx']['tag']!r}"
    if kind == "value_error":
        return str(message.removeprefix("Value error, "))
    return f"{SUBJECT.sub('must ', message)}, not {shown(error['input'])}"


def real_path(location: tuple[int | str, ...], raw: Any) -> list[int | str]:
    """The keys of a place; pydantic puts names of kinds and of types among them, which no recipe holds. The last may be
    a key that is missing."""
    path: list[int | str] = []
    for i, part in enumerate(location):
        if part in (raw if isinstance(raw, Mapping) else range(len(raw)) if isinstance(raw, list) else ()):
            raw = raw[part]
        elif i < len(location) - 1 or not isinstance(raw, Mapping | list):
            continue
        path.append(part)
    return path


def near(path: list[int | str], root: type[BaseModel]) -> str:
    """A key that may have been meant, among all of all groups."""
    known = sorted(keys(root))
    matches = get_close_matches(str(path[-1]), known, n=1)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def keys(model: type[BaseModel]) -> set[str]:
    """The names of a group's keys and of those below it."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        found |= {name, *(key for kind in groups(field.annotation) for key in keys(kind))}
    return found


def groups(annotation: Any) -> list[type[BaseModel]]:
    """The groups of keys that an annotation names, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [group for part in getattr(annotation, "__args__", ()) for group in groups(part)]


def shown(value: Any) -> str:
    """A value, as long as a line bears."""
    text = repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
