"""A run on disk: everything that the next step depends on, so that one that was killed goes on as if it had not been.

A checkpoint is a folder of safetensors and JSON that appears whole or not at all: it is written beside its place,
forced to the disk, and moved there. Older ones are removed only after that. Nothing in it is code.

One process writes one file. Several write a file each (`sharded.py`), and rank 0 moves the folder once all have. Either
is resumed on any number of processes, so the folder must lie where all of them see it. What each rank drew at random
goes on only where there are as many of them; otherwise their draws begin anew, from the seed, the step and the rank.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from clearhead.errors import CheckpointError, TrainingError
from clearhead.training import sharded
from clearhead.training.averaging import LastAverage, MovingAverage, trained
from clearhead.training.callbacks.callback import Callback
from clearhead.training.data.loader import Place
from clearhead.training.trainer import Progress, Trainer

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
    (draft / STATE).write_text(json.dumps({**state(trainer), "files": files}, indent=1), encoding="utf-8")
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


def step_of(place: Path) -> int:
    """The step a checkpoint was written after."""
    return int(place.name.removeprefix(PREFIX))


def tensors(trainer: Trainer) -> Iterator[tuple[str, Tensor]]:
    """All that has a shape; on several ranks, what this one holds of it."""
    learning = trained(trainer.model)
    names = {id(p): name for name, p in learning.items()}
    for name, p in learning.items():
        yield f"model.{name}", p.detach().contiguous()
    for parameter, values in trainer.optimiser.state.items():
        for key, value in values.items():
            yield f"optimiser.{key}.{names[id(parameter)]}", value.detach().contiguous()
    for i, weights in enumerate(snapshots(trainer)):
        for name, value in weights.items():
            yield f"average.{i}.{name}", value
    for callback in trainer.callbacks:
        for name, value in callback.tensors().items():
            yield f"callback.{kind(callback)}.{name}", value
    yield f"random.{trainer.ranks.rank}", torch.get_rng_state()
    if trainer.device.type == "cuda":
        yield f"random.cuda.{trainer.ranks.rank}", torch.cuda.get_rng_state(trainer.device)


def snapshots(trainer: Trainer) -> list[dict[str, Tensor]]:
    """What an average holds."""
    average = trainer.average
    if average is None:
        return []
    return average.snapshots if isinstance(average, LastAverage) else [average.weights]


def state(trainer: Trainer) -> dict[str, Any]:
    """All that has none."""
    return {
        "progress": asdict(trainer.progress),
        "place": asdict(trainer.loader.place),
        "callbacks": {kind(callback): callback.state() for callback in trainer.callbacks if callback.state()},
        "ranks": trainer.ranks.world,
        "torch": str(torch.__version__),
    }


def kind(callback: Callback) -> str:
    """What a callback is called here; ranks have not all the same ones."""
    return type(callback).__name__


def restore(place: Path, trainer: Trainer) -> None:
    """Put a trainer where a checkpoint was written. All ranks take part.

    Raises:
        CheckpointError: a file that is damaged, or of another run.
    """
    try:
        values = json.loads((place / STATE).read_text(encoding="utf-8"))
        held = read(place, values["files"], trainer)
    except CheckpointError:
        raise
    except (OSError, ValueError, KeyError) as e:
        raise CheckpointError(f"{place} cannot be read ({e}); remove it to resume from the one before") from None
    fill(trainer, held, place)
    trainer.progress = Progress(**values["progress"])
    trainer.loader.place = Place(**values["place"])
    draw(trainer, held, values["ranks"])
    for callback in trainer.callbacks:
        if kept := values["callbacks"].get(kind(callback)):
            callback.load(kept, below(held, f"callback.{kind(callback)}."))


def read(place: Path, files: list[str], trainer: Trainer) -> dict[str, Tensor]:
    """All tensors that this rank needs.

    Raises:
        CheckpointError: a file that is missing or damaged.
    """
    if missing := [name for name in files if not (place / name).is_file()]:
        raise CheckpointError(f"{place} lacks {missing[0]}; remove it to resume from the one before")
    ranks = trainer.ranks
    try:
        if files == [TENSORS] and ranks.world == 1:
            return load_file(place / TENSORS)
        return sharded.read(place, trained(trainer.model), ranks)
    except Exception as e:  # safetensors raises a class of its own
        raise CheckpointError(f"{place} is damaged ({e}); remove it to resume from the one before") from None


@torch.no_grad()
def fill(trainer: Trainer, held: Mapping[str, Tensor], place: Path) -> None:
    """Weights, the optimiser's sums and averages.

    Raises:
        CheckpointError: a weight that is missing or of another shape.
    """
    parameters = trained(trainer.model)
    for name, p in parameters.items():
        kept = held.get(f"model.{name}")
        if kept is None or kept.shape != p.shape:
            shape = None if kept is None else list(kept.shape)
            raise CheckpointError(
                f"{place}: {name} is {shape}, and the recipe's model has {list(p.shape)}; it is of another run"
            )
        p.copy_(kept)
    for key, value in below(held, "optimiser.").items():
        slot, _, name = key.partition(".")
        trainer.optimiser.state[parameters[name]][slot] = value.to(parameters[name].device)
    average = trainer.average
    if isinstance(average, MovingAverage):
        for name, value in below(held, "average.0.").items():
            average.weights[name].copy_(value)
    elif average is not None:
        numbers = sorted({int(name.split(".")[1]) for name in held if name.startswith("average.")})
        average.snapshots = [below(held, f"average.{i}.", trainer.device) for i in numbers]


def draw(trainer: Trainer, held: Mapping[str, Tensor], ranks: int) -> None:
    """Have random numbers go on: of a run on as many ranks where it was, otherwise from its step."""
    rank = trainer.ranks.rank
    if ranks != trainer.ranks.world:
        trainer.ranks.seed(trainer.settings.seed, trainer.progress.step)
        return
    torch.set_rng_state(held[f"random.{rank}"].clone())
    if trainer.device.type == "cuda" and f"random.cuda.{rank}" in held:
        torch.cuda.set_rng_state(held[f"random.cuda.{rank}"].clone(), trainer.device)


def below(held: Mapping[str, Tensor], prefix: str, device: torch.device | None = None) -> dict[str, Tensor]:
    """The tensors whose names begin so, by the rest of their names, in memory of their own."""
    found = {name.removeprefix(prefix): value for name, value in held.items() if name.startswith(prefix)}
    return {name: value.to(device, copy=True) for name, value in found.items()}
