"""How much work a chat template may do: steps taken, characters made, processor time used.

A template comes with the model, from strangers. Its language has loops and string arithmetic, so a few words of it
can ask for hours or for terabytes; every operation that can grow is charged here before it is carried out.
"""

from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from time import thread_time
from typing import Any

from clearhead.errors import TemplateError

STEPS = 200_000  # iterations, calls, filters and outputs; real templates take about ten a message
CHARACTERS = 2_000_000  # made in all, output included, beyond what the messages account for
SECONDS = 1.0  # of this thread's processor time, for single operations that are slow; real templates take milliseconds
LARGEST_INTEGER = 1024  # bits


class Meter:
    """What one rendering has used of its allowance, which grows with the size of the messages.

    Raises (from every method):
        TemplateError: the allowance is used up.
    """

    def __init__(self, messages: int, characters: int) -> None:
        self._steps = STEPS + 100 * messages
        self._characters = CHARACTERS + 1000 * messages + 64 * characters
        self._until = thread_time() + SECONDS

    def step(self) -> None:
        """Count one operation."""
        self._steps -= 1
        if self._steps < 0:
            raise TemplateError("the chat template takes too many steps; it is endless or not a chat template")
        if thread_time() > self._until:
            raise TemplateError(
                f"the chat template takes more than {SECONDS:g} s; it is endless or not a chat template"
            )

    def grow(self, characters: int) -> None:
        """Count characters or list entries about to be made or read through."""
        self._characters -= characters
        if self._characters < 0:
            raise TemplateError("the chat template makes too much text; it is endless or not a chat template")

    def counted(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items, a step each."""
        for item in items:
            self.step()
            yield item

    def walk(self, value: Any) -> Iterator[Any]:
        """Everything within `value`, itself first, each charged for the characters it would take written out.

        A list may hold one list many times over, and so be exponentially longer written out than it is in memory.
        """
        waiting = [value]
        while waiting:
            item = waiting.pop()
            self.grow(len(item) if isinstance(item, str) else 1)
            yield item
            if isinstance(item, dict):
                waiting += [*item.keys(), *item.values()]
            elif isinstance(item, list | tuple):
                waiting += item

    def weigh(self, value: Any) -> int:
        """Charge for all of `value`, and return how many characters and entries that is."""
        return sum(len(item) if isinstance(item, str) else 1 for item in self.walk(value))


METER: ContextVar[Meter] = ContextVar("METER")
