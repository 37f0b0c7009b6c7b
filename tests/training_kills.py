"""Runs that are killed at random moments and gone on with, against one that is not: the weights must be the same bits.

    python tests/training_kills.py --kills 20

Each attempt is a process of its own, forked from one that has imported everything and computed nothing, and killed by
SIGKILL after a random time: while it reads data, learns, writes a checkpoint, tests or exports. A run that comes to its
end is compared, and another one is begun, until there were so many kills.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib.figure  # noqa: F401  what a run imports when it gets there
import torch

from training_runs import carry_out, learnt, write_recipe

STEPS = "training.steps=16"


def forked(work: Callable[[], object]) -> int:
    """Begin a process; its id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def finished(pid: int, seconds: float, ready: Callable[[], bool] = lambda: True) -> bool:
    """Give a process some time from when it is ready, then kill it: whether it came to its end."""
    until: float | None = None
    while until is None or time.monotonic() < until:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        if until is None and ready():
            until = time.monotonic() + seconds
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1] == 0


def main() -> None:
    """Kill and compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    rng = random.Random(wanted.seed)
    root = Path(tempfile.mkdtemp())
    path = write_recipe(root)
    began = time.monotonic()
    assert finished(forked(lambda: carry_out(path, root / "whole", STEPS)), 600)
    took, whole = time.monotonic() - began, learnt(root / "whole")
    kills, same, at = 0, 0, list[int]()
    while kills < wanted.kills or not same:
        pid = forked(lambda: carry_out(path, root / "run", STEPS, resume=True))
        if kills == wanted.kills:
            ended = finished(pid, 600)
        elif rng.random() < 0.3:  # at any time
            ended = finished(pid, rng.uniform(0, took))
        else:  # at any time around some step, and the writing of its checkpoint
            step = newest(root / "run") + rng.randint(1, 9)
            ended = finished(pid, rng.uniform(0, took / 40), lambda: newest(root / "run") >= step)  # noqa: B023
        if not ended:
            kills += 1
            at.append(newest(root / "run"))
            continue
        found = learnt(root / "run")
        assert found == whole, [key for key in whole if found[key] != whole[key]]
        same += 1
        shutil.rmtree(root / "run")
    shutil.rmtree(root)
    sys.stdout.write(f"{kills} kills, after steps {at}; {same} runs came to their end, all with the same bits\n")


def newest(folder: Path) -> int:
    """The step of the newest checkpoint; 0 before the first."""
    return max((int(place.name.removeprefix("step-")) for place in folder.glob("checkpoints/step-*")), default=0)


if __name__ == "__main__":
    main()
