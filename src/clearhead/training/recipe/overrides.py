"""`key.sub=value`: one value of a recipe set from outside of its file."""

from collections.abc import Mapping
from typing import Any

import yaml

from clearhead.errors import ConfigError
from clearhead.training.recipe.yaml12 import explain, parse


def overriding(raw: dict[str, Any], override: str) -> str:
    """Set one key of a recipe as it was read, and give its path; the value is read as YAML.

    Raises:
        ConfigError: no KEY=VALUE, a value that is no YAML, or a key below something that has none.
    """
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise ConfigError(f"{override!r} is no override; write key.sub=value, such as training.steps=100")
    try:
        put(raw, path, parse(text))
    except yaml.YAMLError as e:
        raise ConfigError(f"{path}: {text!r} is no YAML ({explain(e)}); put it in quotes") from None
    return path


def put(raw: dict[str, Any], path: str, value: Any) -> None:
    """Set the value that a path of keys, and of numbers in lists, leads to; groups on the way are made.

    Raises:
        ConfigError: a key below a value that has no keys, or a list that has no such item.
    """
    *groups, last = path.split(".")
    place: Any = raw
    for i, group in enumerate(groups):
        key = step(place, group, ".".join(groups[:i]), path)
        if isinstance(place, dict) and place.setdefault(key, {}) is None:
            raise ConfigError(f"{path}: {'.'.join(groups[: i + 1])} is null here; give all of it, or leave it so")
        place = place[key]
    place[step(place, last, ".".join(groups), path)] = value


def step(place: Any, key: str, before: str, path: str) -> Any:
    """The key, or the number, by which `place`, which lies at `before`, holds the next one of the path."""
    if isinstance(place, dict):
        return key
    if not isinstance(place, list):
        raise ConfigError(f"{path}: {before} is {place!r}, which has no key {key!r}")
    if not key.isdecimal() or int(key) >= len(place):
        raise ConfigError(f"{path}: {before} is a list of {len(place)}, which has no item {key!r}; they count from 0")
    return int(key)


def placed(value: Any, folder: str) -> Any:
    """The same with {folder} filled in wherever it stands in a text."""
    if isinstance(value, str):
        return value.replace("{folder}", folder)
    if isinstance(value, Mapping):
        return {key: placed(item, folder) for key, item in value.items()}
    return [placed(item, folder) for item in value] if isinstance(value, list) else value
