"""The same figures for TensorBoard."""

from pathlib import Path
from typing import Any

from clearhead.errors import MissingDependencyError
from clearhead.training.callbacks.callback import Callback
from clearhead.training.callbacks.log import described
from clearhead.training.trainer import Trainer


class TensorBoard(Callback):
    """Event files in a folder.

    Raises:
        MissingDependencyError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, every: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingDependencyError("event files need TensorBoard; install it with: pip install tensorboard") from None
        self.folder, self.every, self.make = folder, every, SummaryWriter
        self.writer: Any = None

    def before(self, trainer: Trainer) -> None:
        """Open the files; what they hold beyond this step is superseded."""
        self.writer = self.make(str(self.folder), purge_step=trainer.progress.step + 1)

    def after(self, trainer: Trainer) -> None:
        """Write where it is due."""
        if trainer.progress.step % self.every == 0:
            for name, value in described(trainer).items():
                self.writer.add_scalar(f"train/{name}", value, trainer.progress.step)

    def end(self, trainer: Trainer) -> None:
        """Close the files."""
        self.writer.close()
