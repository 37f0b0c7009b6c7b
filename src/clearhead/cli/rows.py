"""Rows that are done, of how many, how many a second and how long it will take: a bar, or now and then a line."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY = 30.0  # seconds between two lines in a log


@contextmanager
def counting(what: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """What to tell how many rows are done, of how many, while the block runs; drawn on standard error."""
    from clearhead.cli.screen import messages

    console = messages()
    if quiet:
        yield lambda _done, _of: None
    elif console.color_system is None:
        yield Log(what)
    else:
        from rich import progress

        parts = (
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(bar_width=24),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[rate]}", markup=False),
            progress.TimeRemainingColumn(),
        )
        with progress.Progress(*parts, console=console, transient=True) as drawn:
            number = drawn.add_task(what, total=None, rate="")
            pace = Pace()

            def show(done: int, of: int) -> None:
                drawn.update(number, completed=done, total=of, rate=f"{pace.of(done):,.1f} rows/s")

            yield show


class Pace:
    """Rows a second since the first call, without what was done before it."""

    def __init__(self) -> None:
        self.begun, self.first = time.monotonic(), -1

    def of(self, done: int) -> float:
        """Until now."""
        if self.first < 0:
            self.first = done - 1
        return (done - self.first) / max(1e-9, time.monotonic() - self.begun)


class Log:
    """A line every half minute."""

    def __init__(self, what: str) -> None:
        self.what, self.pace, self.told = what, Pace(), time.monotonic()

    def __call__(self, done: int, of: int) -> None:
        """Tell where it stands, if it is time."""
        from clearhead.cli.quantities import duration
        from clearhead.cli.screen import note

        rate = self.pace.of(done)
        if time.monotonic() - self.told < EVERY or done >= of:
            return
        self.told = time.monotonic()
        left = duration((of - done) / max(1e-9, rate))
        note(f"{self.what}: {done:,} of {of:,} · {rate:,.1f} rows/s · about {left} left")
