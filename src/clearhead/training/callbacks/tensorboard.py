"""The same figures for TensorBoard."""

from pathlib import Path
from typing import Any

from clearhead.errors import MissingDependencyError
from clearhead.training.callbacks.callback import Callback, Warn, silently
from clearhead.training.callbacks.evaluation import Evaluate
from clearhead.training.callbacks.log import described
from clearhead.training.trainer import Trainer


class TensorBoard(Callback):
    """Event files in a folder. Where they cannot be written, the run goes on without them.

    Raises:
        MissingDependencyError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, every: int, evaluate: Evaluate, warn: Warn = silently) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingDependencyError(
                "event files need TensorBoard; install it with: pip install tensorboard, or leave --tensorboard out"
            ) from None
        self.folder, self.every, self.evaluate, self.warn = folder, every, evaluate, warn
        self.make = SummaryWriter
        self.writer: Any = None

    def before(self, trainer: Trainer) -> None:
        """Open the files; what they hold beyond this step is superseded."""
        try:
            self.writer = self.make(str(self.folder), purge_step=trainer.progress.step + 1)
        except OSError as e:
            self.give_up(e)

    def after(self, trainer: Trainer) -> None:
        """Write where it is due."""
        step = trainer.progress.step
        figures: dict[str, float] = {}
        if step % self.every == 0 or step == trainer.settings.steps:
            figures |= {f"train/{name}": value for name, value in described(trainer).items() if name != "step"}
        if self.evaluate.last_step == step:
            figures["dev/nll"] = self.evaluate.last
            figures |= {f"dev/{name}": value for name, value in self.evaluate.scored.items()}
        try:
            for name, value in figures.items() if self.writer is not None else ():
                self.writer.add_scalar(name, value, step)
        except OSError as e:
            self.give_up(e)

    def give_up(self, error: OSError) -> None:
        """Write no more."""
        self.writer = None
        self.warn(f"{self.folder} cannot be written ({error.strerror}); TensorBoard learns no more of this run")

    def end(self, trainer: Trainer) -> None:
        """Close the files."""
        try:
            if self.writer is not None:
                self.writer.close()
        except OSError as e:
            self.give_up(e)
