"""What becomes of a row: the fields of its result, or a failure, which a failed row carries in a field of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clearhead.errors import ClearheadError

Fields = dict[str, Any]
MARK = "failure"  # the field of a failed row: {"error": ..., "at": ...}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a row has no result."""

    error: str
    cause: Exception | None = field(default=None, compare=False)  # what the task raised, where it did

    @property
    def is_foreseen(self) -> bool:
        """Whether it says what was wrong with the row; otherwise something broke."""
        return self.cause is None or isinstance(self.cause, ClearheadError)


def failure(error: Exception) -> Failure:
    """An error as the file of failures tells it; one that nobody foresaw by its kind as well."""
    text = " ".join(str(error).split())[:500]
    return Failure(text if isinstance(error, ClearheadError) else f"{type(error).__name__}: {text}", error)


def unfit(names: Sequence[str], wanted: str, example: Fields) -> Failure | None:
    """Why a row with fields of these names cannot be worked on; None where it can."""
    if wanted not in names:
        return Failure(f"the row has no field {wanted!r}")
    if taken := [name for name in example if name in names]:
        return Failure(f"the row has a field {taken[0]!r} already; rename it")
    return None


def checked(text: object, wanted: str) -> str | Failure:
    """The value of a field, where it is a text."""
    if not isinstance(text, str):
        return Failure(f"{wanted!r} is {type(text).__name__}, where a text was expected")
    return text if text.strip() else Failure(f"{wanted!r} is empty")


def mark_of(why: Failure, at: str) -> Fields:
    """What a failed row carries besides its own fields: its error and its place."""
    return {MARK: {"error": why.error, "at": at}}


def marked(fields: Mapping[str, Any], why: Failure, at: str) -> Fields:
    """A failed row; its own fields stay what they were."""
    return {**fields, **mark_of(why, at)}


def is_mark(value: object) -> bool:
    """Whether an earlier run wrote it, so that it may go when the row is given in again."""
    return (
        isinstance(value, dict) and value.keys() == {"error", "at"} and all(isinstance(v, str) for v in value.values())
    )
