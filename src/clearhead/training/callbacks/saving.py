"""Checkpoints every so many steps, and one more where somebody asks the run to stop."""

import signal
from pathlib import Path
from types import FrameType
from typing import Any

from clearhead.errors import TrainingError
from clearhead.training import checkpoint
from clearhead.training.callbacks.callback import Callback
from clearhead.training.trainer import Trainer

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Save(Callback):
    """Last of the callbacks, so that what it keeps of the others is what they are after the step.

    A checkpoint that cannot be written is reported, and the run goes on to the next: the one before is whole. The last
    one of a run, written where it ends or is stopped, has no next, and its failure is the run's.
    """

    def __init__(self, folder: Path, every: int, keep: int, warn: Any = None) -> None:
        self.folder, self.every, self.keep, self.warn = folder, every, keep, warn
        self.asked: signal.Signals | None = None
        self.handlers: dict[int, Any] = {}

    def before(self, trainer: Trainer) -> None:
        """From here on, a signal is noted, and heeded after the step."""
        for number in SIGNALS:
            self.handlers[number] = signal.signal(number, self.note)

    def note(self, number: int, frame: FrameType | None) -> None:
        """A signal came; the second one is as impatient as it looks."""
        if self.asked is not None:
            raise KeyboardInterrupt
        self.asked = signal.Signals(number)

    def after(self, trainer: Trainer) -> None:
        """Save where it is due."""
        step = trainer.progress.step
        if self.asked is not None and not trainer.stopped:
            trainer.stopped = f"{self.asked.name} came"
        last = bool(trainer.stopped) or step == trainer.settings.steps
        if last or step % self.every == 0:
            try:
                checkpoint.save(self.folder, trainer, self.keep)
            except TrainingError as e:
                if last:
                    raise
                self.warn(str(e))

    def end(self, trainer: Trainer) -> None:
        """Signals mean again what they meant."""
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
