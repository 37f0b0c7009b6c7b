"""What is wrong with a recipe, in one line that names the key and the value."""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

SUBJECT = re.compile(r"^\w+ should ")  # "Input should be a valid integer", as pydantic says it
LIKELY = 0.7  # how alike a wrong key and the one that is suggested must be, at least
OTHER_NAMES = {  # of keys, as other trainers have them
    "learning_rate": "training.lr",
    "batch_size": "training.rows or training.max_tokens",
    "max_steps": "training.steps",
    "epochs": "training.steps",
    "warmup_steps": "training.schedule.warmup",
    "label_smoothing": "training.smoothing",
    "max_grad_norm": "training.clip",
    "gradient_accumulation_steps": "training.accumulate",
    "hidden_size": "model.d_model",
    "intermediate_size": "model.d_ff",
    "num_layers": "model.n_layers",
    "num_heads": "model.n_heads",
    "vocab_size": "vocabulary.size",
    "vocab": "vocabulary",
}
LONGEST = 60  # characters of a value that are shown


def explained(error: ValidationError, raw: Mapping[str, Any], root: type[BaseModel]) -> str:
    """The first thing that is wrong with `raw`, as a recipe of class `root`; a key that is not there before one that is
    missing, for it may be that one, misspelt."""
    first, *rest = sorted(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    path = real_path(first["loc"], raw)
    others = {tuple(found) for e in rest if not startswith(path, found := real_path(e["loc"], raw))}
    if first["type"].startswith("union_tag"):
        path.append("kind")
    text = complaint(first) if first["type"] != "extra_forbidden" else f"there is no such key{near(path, root, raw)}"
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
    if kind == "model_type":
        return f"must be a group of keys, not {shown(error['input'])}"
    if kind == "value_error":
        return str(message.removeprefix("Value error, "))
    return f"{SUBJECT.sub('must ', message).replace('tuple', 'list')}, not {shown(error['input'])}"


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


def near(path: list[int | str], root: type[BaseModel], raw: Mapping[str, Any]) -> str:
    """A key that may have been meant, with its path: one of the same group, or else one elsewhere, rather in a group
    that the recipe has and on a short path."""
    *place, wrong = map(str, path)
    if wrong in OTHER_NAMES:
        return f"; its name here is {OTHER_NAMES[wrong]}"
    group = group_at(root, raw, path[:-1])
    if group and (alike := get_close_matches(wrong, list(group.model_fields), n=1, cutoff=LIKELY)):
        return f"; did you mean {'.'.join([*place, *alike])!r}?"
    paths = dict.fromkeys(keys(root))
    names = get_close_matches(wrong, {found[-1] for found in paths}, cutoff=LIKELY)
    meant = [found for found in paths if found[-1] in names]
    best = max(meant, key=lambda found: (found[0] in raw, -len(found), -names.index(found[-1])), default=())
    return f"; did you mean {'.'.join(best)!r}?" if best else ""


def choice(wrong: str, names: Sequence[str]) -> str:
    """What to do where a name is not there: the one that may have been meant, or all."""
    alike = get_close_matches(wrong, names, cutoff=LIKELY)
    return f"did you mean {' or '.join(alike)}?" if alike else f"name a file, or one of {', '.join(names)}"


def group_at(group: type[BaseModel], raw: Any, path: Sequence[int | str]) -> type[BaseModel] | None:
    """The group of keys that lies at a path of a recipe as it was read, of the kind that it is there."""
    if not path:
        kind = get_args(field.annotation) if (field := group.model_fields.get("kind")) else ()
        return group if not kind or not isinstance(raw, Mapping) or raw.get("kind", kind[0]) in kind else None
    first, *rest = path
    if not isinstance(raw, Mapping) or first not in group.model_fields:
        return None
    value = raw.get(str(first))
    for between, inner in below(group.model_fields[str(first)].annotation):
        at = value
        for key in rest[: len(between)]:
            at = item(at, key)
        if len(rest) >= len(between) and (found := group_at(inner, at, rest[len(between) :])):
            return found
    return None


def item(value: Any, key: int | str) -> Any:
    """What lies under a key, or at a number in a list; None where nothing does."""
    if isinstance(value, Mapping):
        return value.get(key)
    return value[key] if isinstance(value, list) and isinstance(key, int) and key < len(value) else None


def keys(group: type[BaseModel], before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of a group's keys, and of those below it, but for what lies in lists or under names of one's own."""
    for name, field in group.model_fields.items():
        yield (*before, name)
        for between, inner in below(field.annotation):
            if not between:
                yield from keys(inner, (*before, name))


def below(annotation: Any, between: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:
    """The groups of keys that an annotation names, however deep, and what a path has between: the number of a list's
    item, or a name that one may choose."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield between, annotation
    step = {list: ("0",), tuple: ("0",), dict: ("NAME",)}.get(get_origin(annotation), ())
    for part in getattr(annotation, "__args__", ()):
        yield from below(part, (*between, *step))


def shown(value: Any) -> str:
    """A value, as long as a line bears."""
    text = repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
