"""Started by torchrun: a run of which one process is killed in the middle, the first time."""

import os
import signal
import sys
from pathlib import Path

import torch
from training_runs import recipe

from clearhead.training.run import Run, train
from clearhead.training.trainer import Trainer

KILLED_AFTER = 7  # steps


def main(path: Path, folder: Path, *overrides: str) -> None:
    """Train, and be lost."""
    torch.set_num_threads(1)
    step = Trainer.step

    def mortal(self: Trainer) -> None:
        step(self)
        if self.progress.step == KILLED_AFTER and self.ranks.rank == 1 and not self.ranks.restarted:
            os.kill(os.getpid(), signal.SIGKILL)

    Trainer.step = mortal  # type: ignore[method-assign]
    train(recipe(path, *overrides), Run(folder=folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
