"""Downloads as a bar on a terminal, and as one line a stage elsewhere; standard error in both cases."""

from collections.abc import Iterator
from contextlib import contextmanager

from clearhead.cli.screen import messages, note
from clearhead.engine.progress import Bar
from clearhead.text.printable import one_line


class SafeBar(Bar):
    """A bar whose descriptions, which may hold names from outside, cannot steer the terminal."""

    def begin(self, description: str, total: int) -> None:
        """A stage starts."""
        super().begin(one_line(description), total)


class Lines:
    """The catalogue's progress in a log."""

    def begin(self, description: str, total: int) -> None:
        """A stage starts."""
        note(f"{description} ({total / 1e6:,.1f} MB)" if total else description)

    def advance(self, amount: int) -> None:
        """Too small a step for a line."""


@contextmanager
def progress() -> Iterator[Bar | Lines]:
    """What to hand to the catalogue while the block runs."""
    console = messages()
    if console.color_system is None:
        yield Lines()
        return
    bar = SafeBar(console)
    try:
        yield bar
    finally:
        bar.stop()
