"""A run on disk: everything that the next step depends on, so that a run that was killed goes on as if it had not been.

A checkpoint is a folder of safetensors and JSON that appears whole or not at all: it is written beside its place, forced
to the disk, and moved there. Older ones are removed only after that. Nothing in it is code.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from clearhead.errors import CheckpointError, TrainingError
from clearhead.training.averaging import LastAverage, MovingAverage
from clearhead.training.data.loader import Place
from clearhead.training.trainer import Progress, Trainer

STATE = "state.json"
TENSORS = "tensors.safetensors"
PREFIX = "step-"


def save(folder: Path, trainer: Trainer, keep: int) -> Path:
    """Write the state after a step into `folder`, and remove all but the newest `keep`.

    Raises:
        TrainingError: it could not be written; what was there before is there still.
    """
    place = folder / f"{PREFIX}{trainer.progress.step:08d}"
    folder.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
    try:
        save_file(dict(tensors(trainer)), draft / TENSORS)
        (draft / STATE).write_text(json.dumps(state(trainer), indent=1), encoding="utf-8")
        for path in (*draft.iterdir(), draft):
            force(path)
        if place.exists():
            shutil.rmtree(place)
        draft.replace(place)
        force(folder)
    except OSError as e:
        raise TrainingError(not_written(e, folder, trainer.progress.step)) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    for old in found(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return place


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
    """All that has a shape."""
    names = {id(p): name for name, p in trainer.model.named_parameters()}
    for name, p in trainer.model.named_parameters():
        yield f"model.{name}", p.detach().contiguous()
    for p, values in trainer.optimiser.state.items():
        for key, value in values.items():
            yield f"optimiser.{key}.{names[id(p)]}", value.detach().contiguous()
    for i, weights in enumerate(snapshots(trainer)):
        for name, value in weights.items():
            yield f"average.{i}.{name}", value
    for i, callback in enumerate(trainer.callbacks):
        for name, value in callback.tensors().items():
            yield f"callback.{i}.{name}", value
    yield "random", torch.get_rng_state()
    if trainer.device.type == "cuda":
        yield "random.cuda", torch.cuda.get_rng_state(trainer.device)


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
        "callbacks": [callback.state() for callback in trainer.callbacks],
        "torch": str(torch.__version__),
    }


def restore(place: Path, trainer: Trainer) -> None:
    """Put a trainer where a checkpoint was written.

    Raises:
        CheckpointError: a file that is damaged, or of another run.
    """
    try:
        values = json.loads((place / STATE).read_text(encoding="utf-8"))
        held = load_file(place / TENSORS)
    except (OSError, ValueError, KeyError) as e:
        raise CheckpointError(f"{place} cannot be read ({e}); remove it to resume from the one before") from None
    except Exception as e:  # safetensors raises a class of its own
        raise CheckpointError(f"{place / TENSORS} is damaged ({e}); remove it to resume from the one before") from None
    fill(trainer, held, place)
    trainer.progress = Progress(**values["progress"])
    trainer.loader.place = Place(**values["place"])
    for i, (callback, kept) in enumerate(zip(trainer.callbacks, values["callbacks"], strict=True)):
        callback.load(kept, below(held, f"callback.{i}."))


@torch.no_grad()
def fill(trainer: Trainer, held: Mapping[str, Tensor], place: Path) -> None:
    """Weights, the optimiser's sums, averages and random state.

    Raises:
        CheckpointError: a weight that is missing or of another shape.
    """
    parameters = dict(trainer.model.named_parameters())
    for name, p in parameters.items():
        kept = held.get(f"model.{name}")
        if kept is None or kept.shape != p.shape:
            shape = None if kept is None else list(kept.shape)
            raise CheckpointError(f"{place}: {name} is {shape}, and the recipe's model has {list(p.shape)}; it is of another run")
        p.copy_(kept)
    for key, value in held.items():
        kind, _, rest = key.partition(".")
        if kind == "optimiser":
            slot, _, name = rest.partition(".")
            trainer.optimiser.state[parameters[name]][slot] = value.to(parameters[name].device).clone()
    refill(trainer, held)
    torch.set_rng_state(held["random"].clone())
    if trainer.device.type == "cuda" and "random.cuda" in held:
        torch.cuda.set_rng_state(held["random.cuda"].clone(), trainer.device)


def below(held: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): value.clone() for name, value in held.items() if name.startswith(prefix)}


def refill(trainer: Trainer, held: Mapping[str, Tensor]) -> None:
    """Averages as they were."""
    average = trainer.average
    if isinstance(average, MovingAverage):
        for name, value in below(held, "average.0.").items():
            average.weights[name].copy_(value)
    elif average is not None:
        numbers = sorted({int(name.split(".")[1]) for name in held if name.startswith("average.")})
        average.snapshots = [below(held, f"average.{i}.") for i in numbers]
