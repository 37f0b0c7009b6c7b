"""The curves of a run as a picture in its folder, drawn anew after evaluations and at the end."""

from collections.abc import Callable
from pathlib import Path
from time import monotonic

from clearhead.errors import ClearheadError, MissingDependencyError
from clearhead.training.callbacks.callback import Callback, Warn, silently
from clearhead.training.callbacks.evaluation import Evaluate
from clearhead.training.runs.curves import LOG, compare
from clearhead.training.trainer import Trainer

PAUSE = 10.0  # seconds from the beginning, and between drawings, at least; the last one waits for nothing


class Plot(Callback):
    """Comes after what writes the log. A picture that cannot be drawn does not end a run."""

    def __init__(
        self,
        folder: Path,
        name: str,
        evaluate: Evaluate,
        warn: Warn = silently,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.folder, self.name, self.evaluate, self.warn, self.clock = folder, name, evaluate, warn, clock
        self.drawn = clock()
        self.able = True

    def after(self, trainer: Trainer) -> None:
        """Draw where there is something new."""
        if self.evaluate.last_step == trainer.progress.step and self.clock() - self.drawn >= PAUSE:
            self.draw()

    def end(self, trainer: Trainer) -> None:
        """The whole run, or as far as it came."""
        self.draw()

    def draw(self) -> None:
        """Put the picture in its place."""
        if not self.able or not (self.folder / LOG).is_file():
            return
        try:
            compare({self.name: self.folder}, self.folder / "curves.png")
        except MissingDependencyError as e:
            self.able = False
            self.warn(f"no curves.png: {e}")
        except OSError as e:
            self.warn(f"{self.folder / 'curves.png'} cannot be written ({e.strerror})")
        except ClearheadError as e:
            self.warn(f"no curves.png: {e}")
        self.drawn = self.clock()
