"""What a task is given to work on: a text, or several."""

from collections.abc import Iterable

from clearhead.errors import OptionError


def texts_of(given: object, what: str = "text") -> list[str]:
    """The texts: one for a string, those of a list or another iterable of strings.

    Raises:
        OptionError: anything else.
    """
    if isinstance(given, bytes | bytearray):
        raise OptionError(f"{what} is bytes; decode it to a string first")
    if isinstance(given, str):
        return [given]
    if not isinstance(given, Iterable):
        raise OptionError(f"{what} is {given!r:.40}; give a string, or a list of strings")
    found = list(given)
    if wrong := [each for each in found if not isinstance(each, str)]:
        raise OptionError(f"{what} is {wrong[0]!r:.40}; give a string, or a list of strings")
    return found
