"""What the next step of a run depends on, taken out of a trainer and put back: tensors by name, and figures.

    model.NAME  optimiser.SUM.NAME  average.I.NAME  callback.KIND.NAME     NAME is that of a weight that learns
    random.RANK  random.cuda.RANK                                          what a rank draws from

What each rank drew at random goes on only where there are as many of them; otherwise their draws begin anew, from the
seed, the step and the rank.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clearhead.errors import CheckpointError
from clearhead.training.callbacks.callback import Callback
from clearhead.training.data.loader import Place
from clearhead.training.learning.averaging import LastAverage, MovingAverage, trained
from clearhead.training.trainer import Progress, Trainer


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


def figures(trainer: Trainer) -> dict[str, Any]:
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


def put_back(trainer: Trainer, held: Mapping[str, Tensor], values: dict[str, Any], place: Path) -> None:
    """Have a trainer be where `tensors` and `figures` were taken; `place` is for what is said of them.

    Raises:
        CheckpointError: they are of another run.
    """
    fill(trainer, held, place)
    trainer.progress = Progress(**values["progress"])
    trainer.loader.place = Place(**values["place"])
    draw(trainer, held, values["ranks"])
    for callback in trainer.callbacks:
        if kept := values["callbacks"].get(kind(callback)):
            callback.load(kept, below(held, f"callback.{kind(callback)}."))


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
