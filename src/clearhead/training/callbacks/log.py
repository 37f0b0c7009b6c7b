"""A line of JSON for every few steps and every evaluation, in a file that is only ever added to."""

import json
from pathlib import Path
from typing import Any

from clearhead.training.callbacks.callback import Callback, Warn, silently
from clearhead.training.runs.files import append, read_json_lines, write_whole
from clearhead.training.trainer import Trainer


class JsonLog(Callback):
    """Steps in the trainer's own words. A run that resumes first drops what came after its checkpoint.

    Lines for which there is no room are kept, and written as soon as there is some.
    """

    def __init__(self, path: Path, every: int, warn: Warn = silently) -> None:
        self.path, self.every, self.warn = path, every, warn
        self.waiting: list[str] = []

    def before(self, trainer: Trainer) -> None:
        """Keep the lines up to where the run is."""
        if self.path.exists():
            kept = [line for line in read_json_lines(self.path) if line["step"] <= trainer.progress.step]
            write_whole(self.path, "".join(map(as_line, kept)))

    def after(self, trainer: Trainer) -> None:
        """A line where one is due."""
        if trainer.progress.step % self.every == 0 or trainer.progress.step == trainer.settings.steps:
            self.write(described(trainer))

    def write(self, line: dict[str, Any]) -> None:
        """Add a line."""
        self.waiting.append(as_line(line))
        try:
            append(self.path, "".join(self.waiting))
        except OSError as e:
            if len(self.waiting) == 1:
                self.warn(f"{self.path} cannot be written ({e.strerror}); its lines wait until it can")
        else:
            self.waiting.clear()


def as_line(line: dict[str, Any]) -> str:
    """As the file has it."""
    return json.dumps(line, allow_nan=False) + "\n"


def described(trainer: Trainer) -> dict[str, Any]:
    """Where a run is, in numbers."""
    p = trainer.progress
    return {
        "step": p.step,
        "epoch": trainer.loader.place.epoch,
        "nll": round(p.nll, 5),
        "gradient": round(p.gradient, 4),
        "lr": p.lr,
        "tokens": p.tokens,
        "seconds": round(p.seconds, 3),
        "tokens_per_second": round(p.tokens / p.seconds, 1),
    }
