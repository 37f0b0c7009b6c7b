"""A run as it goes: a bar on a terminal, a line now and then elsewhere."""

from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from clearhead.training.callbacks.callback import Callback
from clearhead.training.callbacks.evaluation import Evaluate
from clearhead.training.trainer import Trainer

QUIET = 30.0  # seconds between lines where there is no terminal
RECENT = 50  # steps over which speed is measured


class Bar(Callback):
    """Loss, tokens per second, model FLOP utilisation (the share of the machine's arithmetic that the model takes up),
    and the time that is left. `console` is rich's."""

    def __init__(
        self,
        console: Any,
        evaluate: Evaluate,
        flops_per_token: float,
        peak: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.console, self.evaluate, self.clock = console, evaluate, clock
        self.share = flops_per_token / peak
        self.bar: Any = None
        self.task: Any = None
        self.said = 0.0
        self.recent: deque[tuple[int, float]] = deque(maxlen=RECENT + 1)  # tokens and seconds of steps so far
        self.begun = (0, 0.0)  # steps, and what a clock on the wall showed

    def before(self, trainer: Trainer) -> None:
        """Begin where the run is."""
        self.note(trainer)
        self.said = self.clock()
        self.begun = trainer.progress.step, self.said
        if not self.console.is_terminal or self.console.color_system is None:
            return
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column

        words = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True))
        bar = BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4))
        self.bar = Progress(bar, words, console=self.console, expand=True)
        done = trainer.progress.step
        self.task = self.bar.add_task(f"step {done}", total=trainer.settings.steps, completed=done)
        self.bar.start()

    def after(self, trainer: Trainer) -> None:
        """Show the step."""
        self.note(trainer)
        step, steps = trainer.progress.step, trainer.settings.steps
        if self.bar is not None:
            self.bar.update(self.task, completed=step, description=self.text(trainer))
        elif self.clock() - self.said >= QUIET or step == steps:
            self.said = self.clock()
            self.console.print(f"step {self.text(trainer)}", highlight=False, markup=False, soft_wrap=True)

    def note(self, trainer: Trainer) -> None:
        """Where tokens and their time are now."""
        self.recent.append((trainer.progress.tokens, trainer.progress.seconds))

    def text(self, trainer: Trainer) -> str:
        """The figures of a line."""
        p, speed = trainer.progress, rate(self.recent)
        parts = [f"{p.step}/{trainer.settings.steps}", f"loss {p.nll:.3f}"]
        if self.evaluate.last_step:
            parts.append(f"dev {self.evaluate.last:.3f}")
        parts += [f"{amount(speed)} tokens/s", f"MFU {self.share * speed:.0%}"]
        # Over the whole run, for it stands still now and then to evaluate and to save.
        if pace := rate((self.begun, (p.step, self.clock()))):
            parts.append(f"{span((trainer.settings.steps - p.step) / pace)} left")
        return " · ".join(parts)

    def end(self, trainer: Trainer) -> None:
        """Leave the terminal as it was."""
        if self.bar is not None:
            self.bar.stop()


def rate(points: Sequence[tuple[int, float]]) -> float:
    """How much there was of the one for each of the other."""
    (first, then), (last, now) = points[0], points[-1]
    return (last - first) / (now - then) if now > then else 0.0


def amount(number: float) -> str:
    """In three digits: 812, 4.11k, 1.20M."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return f"{number:.0f}"


def span(seconds: float) -> str:
    """A time in its two largest units."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02}" if hours else f"{minutes}:{rest:02}"
