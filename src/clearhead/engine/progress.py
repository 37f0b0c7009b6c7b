"""A download drawn as a bar, on standard error; where nobody watches a terminal, nothing is drawn."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clearhead.checkpoints.catalogue import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID


class Bar:
    """The catalogue's progress, drawn from its first stage on; work that cannot be measured only moves."""

    def __init__(self, console: "Console") -> None:
        from rich import progress as rich

        parts = (
            rich.TextColumn("{task.description}", markup=False),
            rich.BarColumn(bar_width=24),
            rich.DownloadColumn(),
            rich.TransferSpeedColumn(),
            rich.TimeRemainingColumn(),
        )
        self._drawn = rich.Progress(*parts, console=console, transient=True)
        self._task: TaskID | None = None

    def begin(self, description: str, total: int) -> None:
        """A new stage takes the place of the last."""
        if self._task is not None:
            self._drawn.remove_task(self._task)
        self._task = self._drawn.add_task(description, total=total or None)
        self._drawn.start()

    def advance(self, amount: int) -> None:
        """Bytes came in, or have to come again."""
        if self._task is not None:
            self._drawn.advance(self._task, amount)

    def stop(self) -> None:
        """Wipe the bar away."""
        self._drawn.stop()


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel; to have its packages imported is not enough."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


@contextmanager
def watched(progress: Progress | None) -> Iterator[Progress | None]:
    """The caller's progress, or else a bar where standard error is a terminal or a notebook's."""
    if progress is not None or not (sys.stderr.isatty() or in_notebook()):
        yield progress
        return
    from rich.console import Console

    bar = Bar(Console(stderr=True))
    try:
        yield bar
    finally:
        bar.stop()
