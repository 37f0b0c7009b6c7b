"""The filters and functions of chat templates, each charged to the rendering's `Meter` for what it can make.

Jinja brings some fifty filters; these are the ones that chat templates use and that cannot be turned against us.
"""

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from jinja2 import TemplateRuntimeError, Undefined
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.utils import Namespace
from markupsafe import escape

from clearhead.text.meter import METER

LONGEST_RANGE = 10_000
INDENT = 16

FILTERS = """
    abs capitalize count d default dictsort first float items last length list lower map max min reject rejectattr
    reverse select selectattr sort title trim unique upper
"""
COMPARING = frozenset({"dictsort", "max", "min", "sort", "unique"})  # they look into the entries of a list
COUNTED, JOINED, WEIGHED, COMPARED = (
    "counted loop",
    "joined text",
    "weighed list",
    "compared value",
)  # the space keeps templates from naming them


class RefusalError(TemplateRuntimeError):
    """The template itself objects to the messages."""


def charge_method(text: str, name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Charge for a method of `text`: what it reads, or what it can make where that is more. Returns its arguments."""
    meter = METER.get()
    if name == "join" and args:
        items = list(meter.counted(args[0]))
        meter.grow(len(text) * len(items))
        meter.weigh(items)
        return (items, *args[1:])
    if name == "replace" and len(args) > 1 and isinstance(args[0], str) and isinstance(args[1], str):
        meter.grow(len(text) + text.count(args[0]) * len(args[1]))
    elif name not in ("startswith", "endswith"):
        meter.grow(len(text))
    return args


PLAIN = (str, bool, int, float, list, tuple, dict, Undefined)


def output(value: Any) -> str:
    """The text of a value that is printed, charged."""
    METER.get().step()
    return as_text(value)


def as_text(value: Any) -> str:
    """The text of plain data; nothing else has one, for it would show where things lie in memory."""
    if isinstance(value, str):
        METER.get().grow(len(value))
        return str(value)
    if isinstance(value, Undefined):
        return ""
    for item in METER.get().walk(value):
        if not (item is None or isinstance(item, PLAIN)):
            raise SecurityError(f"a {type(item).__name__} has no text")
    return str(value)


def metered(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter of Jinja's, a step and the size of its input charged; the mark of who gets the context is kept."""

    def charged(*args: Any, **kwargs: Any) -> Any:
        METER.get().step()
        for value in args[:2]:  # the first may be Jinja's context or environment
            if isinstance(value, str | list | tuple | dict):
                METER.get().grow(len(value))
                METER.get().weigh(value if name in COMPARING else ())
        return function(*args, **kwargs)

    charged.__dict__.update(getattr(function, "__dict__", {}))
    return charged


def counted(items: Iterable[Any]) -> Iterable[Any]:
    return METER.get().counted(items)


def joined(values: list[Any]) -> str:
    return "".join(map(as_text, values))


def weighed(value: Any) -> Any:
    METER.get().weigh(value)
    return value


def compared(value: Any) -> Any:
    if isinstance(value, list | tuple | dict):
        METER.get().weigh(value)
    return value


def join(value: Iterable[Any], separator: str = "") -> str:
    """Jinja's `join`, charged by what it makes."""
    items = list(METER.get().counted(value))
    METER.get().grow(len(as_text(separator)) * len(items))
    return str(separator).join(map(as_text, items))


def replace(text: Any, old: str, new: str, count: int = -1) -> str:
    """Jinja's `replace`, charged by what it can make."""
    source, old, new = as_text(text), str(old), str(new)
    charge_method(source, "replace", (old, new))
    return source.replace(old, new, count)


def indent(text: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    """Jinja's `indent`, by at most INDENT characters."""
    margin = width if isinstance(width, str) else " " * min(width, INDENT + 1)
    if len(margin) > INDENT:
        raise SecurityError(f"indent by more than {INDENT} is not for templates")
    lines = as_text(text).split("\n")
    METER.get().grow(len(lines) * len(margin))
    body = [margin + line if line or blank else line for line in lines[1:]]
    return "\n".join([margin + lines[0] if first else lines[0], *body])


def escaped(value: Any) -> str:
    """Text with HTML's five special characters spelled out."""
    return as_text(str(escape(as_text(value))))


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as transformers writes it: letters as they are, nothing escaped for HTML."""
    if indent is not None and not 0 <= indent <= INDENT:
        raise SecurityError(f"JSON indented by more than {INDENT} is not for templates")
    if separators is not None and sum(map(len, separators)) > INDENT:
        raise SecurityError("JSON separators of that length are not for templates")
    METER.get().weigh([value] * (6 + (indent or 0)))  # a character takes up to six, an entry a line
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def to_int(value: Any, default: int = 0) -> int:
    """A decimal number read from text, else `default`."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return default


def safe_range(*args: int) -> range:
    """Python's range, of at most LONGEST_RANGE numbers."""
    numbers = range(*args)
    if len(numbers) > LONGEST_RANGE:
        raise SecurityError(f"a range of more than {LONGEST_RANGE} is not for templates")
    return numbers


def safe_dict(*args: Any, **kwargs: Any) -> dict[Any, Any]:
    """Python's dict, its entries charged."""
    made = dict(*args, **kwargs)
    METER.get().weigh(made)
    return made


def raise_exception(message: object) -> None:
    """How templates refuse messages that they were not made for."""
    raise RefusalError(str(message)[:200] if isinstance(message, str) else "no reason given")


def strftime_now(form: str) -> str:
    """The time now, for templates that tell the model the date."""
    if len(form) > 64 or any(character.isdigit() for character in form):  # a digit asks the C library for padding
        raise SecurityError("a date format of that kind is not for templates")
    return datetime.now().strftime(form)


ALL_FILTERS: dict[str, Callable[..., Any]] = {
    **{name: metered(name, JINJA_FILTERS[name]) for name in FILTERS.split()},
    COUNTED: counted,
    JOINED: joined,
    WEIGHED: weighed,
    COMPARED: compared,
    "join": join,
    "replace": replace,
    "indent": indent,
    "tojson": to_json,
    "int": to_int,
    "string": as_text,
    "safe": as_text,
    "e": escaped,
    "escape": escaped,
}


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "range": safe_range,
    "dict": safe_dict,
    "namespace": Namespace,
    "raise_exception": raise_exception,
    "strftime_now": strftime_now,
}
