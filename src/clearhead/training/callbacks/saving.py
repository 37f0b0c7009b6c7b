"""Checkpoints every so many steps, and one more where somebody asks the run to stop."""

import signal
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from clearhead.errors import TrainingError
from clearhead.training.callbacks.callback import Callback, Warn, silently
from clearhead.training.ranks.ranks import Ranks
from clearhead.training.runs import checkpoint
from clearhead.training.trainer import Trainer

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Save(Callback):
    """Last of the callbacks, so that what it keeps of the others is what they are after the step.

    A checkpoint that cannot be written is reported, and the run goes on to the next: the one before is whole. The last
    one of a run, written where it ends or is stopped, has no next, and its failure is the run's.
    """

    def __init__(self, folder: Path, every: int, keep: int, warn: Warn = silently) -> None:
        self.folder, self.every, self.keep, self.warn = folder, every, keep, warn
        self.heard = 0  # the signal that came to this process
        self.asked = 0  # the one that all ranks know of
        self.handlers: dict[int, Any] = {}

    def before(self, trainer: Trainer) -> None:
        """From here on, a signal is noted, and heeded after the step; only the main thread can listen."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self.handlers[number] = signal.signal(number, self.note)

    def note(self, number: int, frame: FrameType | None) -> None:
        """A signal came; the second one is as impatient as it looks."""
        if self.heard:
            raise KeyboardInterrupt
        self.heard = number
        with suppress(RuntimeError):  # a line was being written when the signal came, and cannot be written into
            self.warn("finishing this step and saving; a second signal ends the run at once, without its latest steps")

    def after(self, trainer: Trainer) -> None:
        """Save where it is due. All ranks stop after the same step, whichever of them was asked first."""
        step = trainer.progress.step
        self.asked = agreed(self.heard, trainer.ranks)
        if self.asked and not trainer.stopped:
            trainer.stopped = f"{signal.Signals(self.asked).name} came"
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
        self.handlers.clear()


def agreed(heard: int, ranks: Ranks) -> int:
    """The signal that came to any of the ranks; 0 for none."""
    if ranks.world == 1:
        return heard
    counts = ranks.sums(*(float(heard == number) for number in SIGNALS))
    return max((number for number, count in zip(SIGNALS, counts, strict=True) if count), default=0)
