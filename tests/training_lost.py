"""Started by torchrun with a recipe, a folder, and 1 where a process is to be killed in the middle, the first time."""

import os
import signal
import sys
from pathlib import Path

import torch

from clearhead.training.runs.run import Run, train
from clearhead.training.trainer import Trainer
from training_runs import recipe

KILLED_AFTER = 7  # steps


def main(path: Path, folder: Path, lost: str, *overrides: str) -> None:
    """Train, and be lost where `lost` is 1."""
    torch.set_num_threads(1)
    step = Trainer.step

    def mortal(self: Trainer) -> None:
        step(self)
        dies = lost == "1" and self.ranks.rank == 1 and not self.ranks.restarted
        if dies and self.progress.step == KILLED_AFTER:
            os.kill(os.getpid(), signal.SIGKILL)

    Trainer.step = mortal  # type: ignore[method-assign]
    run = Run(folder=folder)
    train(recipe(path, *overrides), run)
    print(*run.said, sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
