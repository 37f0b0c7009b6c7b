"""Downloads as a bar on a terminal, and as one line a stage elsewhere; standard error in both cases."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from clearhead.cli.printable import one_line
from clearhead.cli.screen import messages, note


class Bar:
    """The catalogue's progress, drawn from its first stage on; work that cannot be measured only moves."""

    def __init__(self, console: Console) -> None:
        parts = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        self.progress = Progress(*parts, console=console, transient=True)
        self.task: TaskID | None = None

    def begin(self, description: str, total: int) -> None:
        """A new stage takes the place of the last."""
        if self.task is not None:
            self.progress.remove_task(self.task)
        self.task = self.progress.add_task(one_line(description), total=total or None)
        self.progress.start()

    def advance(self, amount: int) -> None:
        """Bytes came in, or have to come again."""
        if self.task is not None:
            self.progress.advance(self.task, amount)


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
    bar = Bar(console)
    try:
        yield bar
    finally:
        if bar.task is not None:
            bar.progress.stop()
