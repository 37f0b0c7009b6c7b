"""A run as it goes: a bar on a terminal, a line now and then elsewhere."""

from time import monotonic
from typing import Any

from clearhead.training.callbacks.callback import Callback
from clearhead.training.callbacks.evaluation import Evaluate
from clearhead.training.trainer import Trainer

QUIET = 30.0  # seconds between lines where there is no terminal


class Bar(Callback):
    """Loss, tokens per second, the share of the machine's arithmetic in use, and the time that is left."""

    def __init__(self, console: Any, evaluate: Evaluate | None, flops_per_token: float, peak: float) -> None:
        self.console, self.evaluate, self.flops, self.peak = console, evaluate, flops_per_token, peak
        self.bar: Any = None
        self.task: Any = None
        self.said = 0.0
        self.first = 0

    def before(self, trainer: Trainer) -> None:
        """Begin where the run is."""
        self.first, self.said = trainer.progress.step, monotonic()
        if not self.console.is_terminal:
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), TimeRemainingColumn())
        self.bar = Progress(*columns, console=self.console)
        self.task = self.bar.add_task("", total=trainer.settings.steps, completed=self.first)
        self.bar.start()

    def after(self, trainer: Trainer) -> None:
        """Show the step."""
        if self.bar is not None:
            self.bar.update(self.task, completed=trainer.progress.step, description=self.text(trainer))
        elif monotonic() - self.said > QUIET or trainer.progress.step == trainer.settings.steps:
            self.said = monotonic()
            p = trainer.progress
            left = p.seconds / p.step * (trainer.settings.steps - p.step)
            self.console.print(f"step {p.step}/{trainer.settings.steps} {self.text(trainer)} · {clock(left)} left", highlight=False)

    def text(self, trainer: Trainer) -> str:
        """The figures of a line."""
        p = trainer.progress
        speed = p.tokens / p.seconds
        dev = "" if self.evaluate is None or self.evaluate.best_step == 0 else f" · dev {self.evaluate.last:.3f}"
        return f"loss {p.nll:.3f}{dev} · {speed:,.0f} tokens/s · {self.flops * speed / self.peak:.0%} of peak"

    def end(self, trainer: Trainer) -> None:
        """Leave the terminal as it was."""
        if self.bar is not None:
            self.bar.stop()


def clock(seconds: float) -> str:
    """Hours and minutes, or minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
