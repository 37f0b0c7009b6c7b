"""Progress over stages of equal pieces, such as the parts of a text: a bar on a terminal, a line a stage elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich import progress

    from clearhead.tasks.summarize.summarizer import Watch


@contextmanager
def watching(quiet: bool) -> Iterator["Watch | None"]:
    """Progress over the parts: a bar on a terminal, a line a stage elsewhere."""
    from clearhead.cli.screen import messages

    console = messages()
    if quiet:
        yield None
    elif console.color_system is None:
        yield Stages()
    else:
        from rich import progress

        columns = (progress.TextColumn("{task.description}", markup=False), progress.BarColumn(bar_width=24))
        with progress.Progress(
            *columns, progress.MofNCompleteColumn(), progress.TimeRemainingColumn(), console=console, transient=True
        ) as drawn:
            yield Drawn(drawn)


class Stages:
    """Progress in a log."""

    def begin(self, description: str, total: int) -> None:
        """A stage starts."""
        from clearhead.cli.screen import note

        note(description)

    def advance(self, amount: int) -> None:
        """Too small a step for a line."""


class Drawn(Stages):
    """Progress as a bar, one stage at a time."""

    def __init__(self, drawn: "progress.Progress") -> None:
        self.drawn, self.task = drawn, drawn.add_task("", total=None, visible=False)

    def begin(self, description: str, total: int) -> None:
        """A new stage takes the place of the last."""
        self.drawn.reset(self.task, description=description, total=total, visible=True)

    def advance(self, amount: int) -> None:
        """Parts are done."""
        self.drawn.advance(self.task, amount)
