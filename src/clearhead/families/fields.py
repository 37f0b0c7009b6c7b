"""A checkpoint's own settings, read key by key and type by type.

A configuration file comes from a stranger. Nothing is taken from it but the keys a family page asks for, each checked
for its type; what a page does not ask for is never looked at, so no key can name code to import or an address to fetch.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from clearhead.errors import ConfigError

T = TypeVar("T")
REQUIRED: Any = object()
LARGEST_WHOLE = 2**63 - 1


class Fields:
    """Typed access to the settings of one file; `where` names it in errors.

    Every reader takes a key, or several under which the field is known, and a default for when none is there;
    without a default a missing key is a `ConfigError`.
    """

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values, self.where = values, where

    def integer(self, *keys: str, default: Any = REQUIRED) -> Any:
        """A whole number."""
        value = self._read(keys, default, int, "a whole number")
        return value if value is default else self._of_sane_size(keys[0], value)

    def size(self, *keys: str) -> int:
        """A whole number of at least 1, for pages that compute with it before the configuration checks it."""
        value: int = self.integer(*keys)
        if value < 1:
            raise ConfigError(f"{self.where}: {keys[0]} is {value}; it must be at least 1")
        return value

    def number(self, *keys: str, default: Any = REQUIRED) -> Any:
        """A whole or decimal number, as a float."""
        value = self._read(keys, default, int | float, "a number")
        return value if value is default else float(self._of_sane_size(keys[0], value))

    def flag(self, *keys: str, default: Any = REQUIRED) -> Any:
        """True or false."""
        return self._read(keys, default, bool, "true or false")

    def text(self, *keys: str, default: Any = REQUIRED) -> Any:
        """A string."""
        return self._read(keys, default, str, "a string")

    def choice(self, *keys: str, of: Mapping[str, T], default: Any = REQUIRED) -> T:
        """A string that must be one of `of`'s keys; gives what stands there."""
        name = self.text(*keys, default=default)
        if name not in of:
            raise ConfigError(f"{self.where}: {keys[0]} is {name!r}; Clearhead reads {', '.join(map(repr, of))}")
        return of[name]

    def section(self, key: str) -> "Fields | None":
        """A nested table, or None when it is absent or null."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise ConfigError(f"{self.where}: {key} is {value!r}; it must be a table")
        return Fields(value, f"{self.where}, {key}")

    def expect(self, key: str, *allowed: object) -> None:
        """Refuse a file that asks for a computation this family does not have; an absent key is fine."""
        value = self.values.get(key, allowed[0])
        if value not in allowed:
            raise ConfigError(
                f"{self.where}: {key} is {value!r}, which Clearhead does not compute; it reads {allowed[0]!r}"
            )

    def _read(self, keys: tuple[str, ...], default: Any, kind: Any, word: str) -> Any:
        for key in keys:
            value = self.values.get(key)
            if value is None:
                continue
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                raise ConfigError(f"{self.where}: {key} is {value!r}; it must be {word}")
            return value
        if default is REQUIRED:
            raise ConfigError(f"{self.where}: {keys[0]} is missing; it must be {word}")
        return default

    def _of_sane_size(self, key: str, value: Any) -> Any:
        """Python's whole numbers have no end, and pages divide them before the configuration checks them."""
        if isinstance(value, int) and abs(value) > LARGEST_WHOLE:
            raise ConfigError(f"{self.where}: {key} has {len(str(abs(value)))} digits; no model has such a number")
        return value

    def share(self, total: str, amount: int, parts: str, n: int) -> int:
        """`amount` divided evenly among `n` parts, as model width among heads."""
        if n < 1 or amount % n:
            raise ConfigError(f"{self.where}: {total} {amount} cannot be divided evenly among {n} ({parts})")
        return amount // n

    def first_text(self, key: str, default: str) -> str:
        """The first string of a list, or the default when the list is absent or empty."""
        value = self.values.get(key) or [default]
        if not isinstance(value, list) or not isinstance(value[0], str):
            raise ConfigError(f"{self.where}: {key} is {value!r}; it must be a list of strings")
        return value[0]

    def labels(self, key: str) -> tuple[str, ...]:
        """A table from "0", "1", ... to names, as a tuple; transformers names two labels where a file names none."""
        table = self.values.get(key) or {"0": "LABEL_0", "1": "LABEL_1"}
        names = [table.get(str(i)) for i in range(len(table))] if isinstance(table, Mapping) else [None]
        if not all(isinstance(name, str) for name in names):
            raise ConfigError(f"{self.where}: {key} must name labels 0, 1, ... without gaps, not {table!r}")
        return tuple(str(name) for name in names)
