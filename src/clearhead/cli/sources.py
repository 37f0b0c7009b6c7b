"""Where a verb's text comes from: its argument, a file, or standard input."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clearhead.errors import ClearheadError, OptionError

LONGEST = 64 * 2**20  # bytes; far beyond any context window


def read_text(argument: str | None, file: Path | None, what: str) -> str:
    """The text asked for: `argument`, standard input where it is `-` or absent and not a terminal, or a file.

    The line end that closes a file or a pipe belongs to it, not to the text.

    Raises:
        OptionError: none was given, two were, it is empty, or it is not UTF-8.
    """
    if argument is not None and file is not None:
        raise OptionError(f"the {what} is given twice, as an argument and with --file; drop one")
    if argument is None and file is None and (sys.stdin is None or sys.stdin.isatty()):
        raise OptionError(f"there is no {what}; give it in quotes, with --file, or through a pipe")
    text = argument if argument not in (None, "-") else read_stream(file, what)
    if not text:
        raise OptionError(f"the {what} is empty; give some text to start from")
    return text


@dataclass(frozen=True, slots=True)
class Given:
    """A text, and the line it stands on where each line is a text of its own."""

    text: str
    line: int | None = None  # from 1


@contextmanager
def told(given: Given) -> Iterator[None]:
    """While one of several lines is worked on: an error says which."""
    try:
        yield
    except ClearheadError as error:
        if given.line is None:
            raise
        raise type(error)(f"line {given.line}: {error}") from None


def read_texts(argument: str | None, file: Path | None, what: str, *, lines: bool) -> list[Given]:
    """The text asked for; with `lines` the text of each line that is not blank, and told is how many are.

    A line ends at a line feed, before which a carriage return may stand; no other character cuts a text in two.

    Raises:
        OptionError: as `read_text`; or there is no line with text.
    """
    from clearhead.cli.quantities import plural
    from clearhead.cli.screen import note

    whole = read_text(argument, file, what)
    if not lines:
        return [Given(whole)]
    every = [Given(text.removesuffix("\r"), number) for number, text in enumerate(whole.split("\n"), start=1)]
    found = [each for each in every if each.text.strip()]
    if not found:
        raise OptionError(f"no line of the {what} has text; give some, one a line")
    if blank := len(every) - len(found):
        note(f"left out: {plural(blank, 'blank line')}")
    return found


def read_stream(file: Path | None, what: str) -> str:
    """A whole file, or standard input, as text."""
    data = read_file(file) if file is not None else sys.stdin.buffer.read(LONGEST + 1)
    if len(data) > LONGEST:
        raise OptionError(f"the {what} is longer than {LONGEST} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise OptionError(f"the {what} is not UTF-8 (byte {error.start}); convert it first") from None
    return text.removesuffix("\n").removesuffix("\r")


def read_file(file: Path) -> bytes:
    """At most one byte more than is allowed."""
    try:
        with file.open("rb") as stream:
            return stream.read(LONGEST + 1)
    except OSError as error:
        raise OptionError(f"{file} cannot be read: {error.strerror or error}") from None
