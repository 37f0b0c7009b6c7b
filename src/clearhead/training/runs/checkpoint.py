"""A run on disk: everything that the next step depends on, so that one that was killed goes on as if it had not been.

A checkpoint is a folder of safetensors and JSON that appears whole or not at all: it is written beside its place,
forced to the disk, and moved there. Older ones are removed only after that. Nothing in it is code.

One process writes one file. Several write a file each (`sharded.py`), and rank 0 moves the folder once all have. Either
is resumed on any number of processes, so the folder must lie where all of them see it.
"""

import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from clearhead.errors import CheckpointError, TrainingError
from clearhead.training.learning.averaging import trained
from clearhead.training.ranks import sharded
from clearhead.training.ranks.ranks import Ranks
from clearhead.training.runs.state import figures, put_back, tensors
from clearhead.training.trainer import Trainer

STATE = "state.json"
TENSORS = "tensors.safetensors"
PREFIX = "step-"
DRAFT = ".writing-"


def save(folder: Path, trainer: Trainer, keep: int) -> Path:
    """Write the state after a step into `folder`, and remove all but the newest `keep`. All ranks take part.

    Raises:
        TrainingError: it could not be written; what was there before is there still.
    """
    place = folder / f"{PREFIX}{trainer.progress.step:08d}"
    ranks = trainer.ranks
    try:
        with ranks.turn() as writes:
            name = begin(folder) if writes else ""
        draft = folder / ranks.told(name)
        write(draft, trainer)
        with ranks.turn() as writes:
            if writes:
                settle(draft, place, trainer)
    except OSError as e:
        raise TrainingError(not_written(e, folder, trainer.progress.step)) from None
    finally:
        if ranks.first:
            clear(folder)
    if ranks.first:
        for old in found(folder)[:-keep]:
            shutil.rmtree(old, ignore_errors=True)
    return place


def begin(folder: Path) -> str:
    """The name of a new draft."""
    folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=DRAFT, dir=folder)).name


def write(draft: Path, trainer: Trainer) -> None:
    """All that has a shape."""
    if trainer.ranks.world > 1:
        sharded.write(draft, dict(tensors(trainer)))
        return
    try:
        save_file(dict(tensors(trainer)), draft / TENSORS)
    except SafetensorError as e:  # which is what the library makes of a disk that is full
        number = re.search(r"os error (\d+)", str(e))
        raise OSError(*((int(number[1]), os.strerror(int(number[1]))) if number else (0, str(e)))) from None


def settle(draft: Path, place: Path, trainer: Trainer) -> None:
    """All that has none; then the draft goes to its place."""
    files = sorted(path.name for path in draft.iterdir())
    (draft / STATE).write_text(json.dumps({**figures(trainer), "files": files}, indent=1), encoding="utf-8")
    for path in (*draft.iterdir(), draft):
        force(path)
    if place.exists():
        shutil.rmtree(place)
    draft.replace(place)
    force(place.parent)


def clear(folder: Path) -> None:
    """Remove drafts, of this process and of one that was killed before."""
    for draft in folder.glob(f"{DRAFT}*"):
        shutil.rmtree(draft, ignore_errors=True)


def not_written(error: OSError, folder: Path, step: int) -> str:
    """What a person needs to know when there was no room, or no right to write."""
    kept = found(folder)
    there = f"the one of step {step_of(kept[-1])} is whole" if kept else "there is none yet"
    return f"the checkpoint of step {step} could not be written ({error.strerror}); {there}; make room, then resume"


def force(path: Path) -> None:
    """Have the disk hold a file, or a folder's table, before anything relies on it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def found(folder: Path) -> list[Path]:
    """Checkpoints, the oldest first; what a killed process left half-written has another name."""
    return sorted(path for path in folder.glob(f"{PREFIX}*") if (path / STATE).is_file())


def seen(folder: Path, ranks: Ranks) -> list[Path]:
    """Those that rank 0 finds: a file system may tell others later, and all must go on from the same one."""
    return [folder / name for name in json.loads(ranks.told(json.dumps([path.name for path in found(folder)])))]


def step_of(place: Path) -> int:
    """The step a checkpoint was written after."""
    return int(place.name.removeprefix(PREFIX))


def restore(place: Path, trainer: Trainer) -> None:
    """Put a trainer where a checkpoint was written. All ranks take part.

    Raises:
        CheckpointError: a file that is damaged, or of another run.
    """
    values = described(place, trainer.ranks)
    held = read(place, values["files"], trainer)
    put_back(trainer, held, values, place)


def described(place: Path, ranks: Ranks) -> dict[str, Any]:
    """What `figures` told, once all ranks see all of the files.

    Raises:
        CheckpointError: on all ranks, where one of them cannot read it, or misses a file.
    """
    values, problem = {}, ""
    try:
        values = json.loads((place / STATE).read_text(encoding="utf-8"))
        if missing := [name for name in values["files"] if not (place / name).is_file()]:
            problem = f"it lacks {missing[0]}"
    except (OSError, ValueError, KeyError) as e:
        problem = str(e)
    if ranks.sums(float(bool(problem)))[0]:
        why = problem or "another rank cannot read it"
        raise CheckpointError(f"{place} cannot be read ({why})")
    return values


def read(place: Path, files: list[str], trainer: Trainer) -> dict[str, Tensor]:
    """All tensors that this rank needs.

    Raises:
        CheckpointError: a file that is damaged.
    """
    ranks = trainer.ranks
    try:
        if files == [TENSORS] and ranks.world == 1:
            return load_file(place / TENSORS)
        return sharded.read(place, trained(trainer.model), ranks)
    except TrainingError:  # a rank was lost
        raise
    except Exception as e:  # safetensors raises a class of its own
        raise CheckpointError(f"{place} is damaged ({e})") from None
