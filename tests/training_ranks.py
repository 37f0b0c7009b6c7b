"""Small runs on several processes of this machine, which begin in a moment: torch is imported once for all of them."""

import json
import multiprocessing
import os
import resource
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from clearhead.errors import OptionError, TrainingError
from clearhead.model.dropout import Dropout
from clearhead.training.callbacks.callback import Callback
from clearhead.training.data.store import Examples, Ragged
from clearhead.training.learning.averaging import LastAverage, MovingAverage, whole
from clearhead.training.learning.optimiser import Adam, build_optimiser
from clearhead.training.learning.schedules import constant
from clearhead.training.models.learners import new_model
from clearhead.training.objectives.causal import Causal
from clearhead.training.objectives.masked import Masked
from clearhead.training.objectives.translation import Translation
from clearhead.training.ranks.parallel import spread
from clearhead.training.ranks.ranks import join
from clearhead.training.recipe.architectures import ModelChoice, configure
from clearhead.training.runs import checkpoint
from clearhead.training.trainer import Settings, Trainer

VOCABULARY = 29
PRELOAD = ["training_ranks", "training_lost", "torch._dynamo", "torch.distributed.fsdp", "torch.distributed.checkpoint"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run of a few steps."""

    folder: Path
    how: str = "ddp"
    task: str = "translation"
    architecture: str = "transformer"
    steps: int = 20
    resume: bool = False
    save: tuple[int, ...] = ()
    average: str = "none"
    settings: dict[str, Any] = field(default_factory=dict)
    dropout: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Learnt:
    """What came of it."""

    losses: list[float]
    gradients: list[float]
    dev: float
    tokens: list[int]
    weights: dict[str, torch.Tensor]
    average: dict[str, torch.Tensor]


class Notes(Callback):
    """Every step's figures, and a checkpoint where one is asked for."""

    def __init__(self, job: Job) -> None:
        self.job, self.losses, self.gradients, self.tokens = job, list[float](), list[float](), list[int]()

    def after(self, trainer: Trainer) -> None:
        done = trainer.progress
        self.losses.append(done.nll)
        self.gradients.append(done.gradient)
        self.tokens.append(done.tokens)
        if done.step in self.job.save:
            checkpoint.save(self.job.folder / "checkpoints", trainer, keep=9)


def pairs(n: int, seed: int) -> Examples:
    """Rows of all lengths up to 12."""
    rng = np.random.default_rng(seed)
    sides = {
        name: [rng.integers(3, VOCABULARY, rng.integers(1, 13)).tolist() for _ in range(n)]
        for name in ("source", "target")
    }
    return {name: Ragged.of(rows) for name, rows in sides.items()}


def objective(task: str) -> Any:
    """Batches of which some have fewer rows than there are ranks."""
    if task == "translation":
        return Translation(train=pairs(150, 0), valid=pairs(23, 1), start=0, pad=0, max_tokens=40, seed=3)
    text, other = (
        np.random.default_rng(i).integers(3, VOCABULARY, n).astype(np.int32) for i, n in ((0, 900), (1, 130))
    )
    if task == "causal":
        return Causal(train=text, valid=other, context=8, rows=5, seed=3)
    ordinary = np.arange(3, VOCABULARY, dtype=np.int32)
    return Masked(
        train=text, valid=other, context=8, rows=5, share=0.2, first=1, last=2, mask=0, ordinary=ordinary, seed=3
    )


def model(job: Job) -> torch.nn.Module:
    """Of a width that no number of ranks divides."""
    choice = ModelChoice(
        architecture=job.architecture, d_model=10, d_ff=14, n_heads=2, head_dim=6, n_layers=2, max_positions=64
    )
    return new_model(configure(choice, VOCABULARY, seq2seq=job.task == "translation"), seed=5)


def trainer(job: Job) -> Trainer:
    """The loop, on as many processes as the environment tells."""
    ranks = join("cpu")
    made = model(job)
    parallel = spread(made, job.how, ranks)
    averages = {"ema": lambda: MovingAverage(made, 0.9), "last": lambda: LastAverage(2, 3), "none": lambda: None}
    return Trainer(
        made,
        objective(job.task),
        build_optimiser(made, Adam(lr=3e-3, eps=1e-6, weight_decay=0.1)),
        constant(4),
        Settings(steps=job.steps, seed=7, **{"clip": 0.7, **job.settings}, dropout=Dropout(**job.dropout)),
        average=averages[job.average](),
        callbacks=[Notes(job)],
        parallel=parallel,
    )


def work(job: Job) -> None:
    """One of the processes."""
    run = trainer(job)
    if job.resume:
        checkpoint.restore(checkpoint.found(job.folder / "checkpoints")[-1], run)
    run.run()
    dev = run.evaluate()
    weights = {name: whole(p.detach()) for name, p in run.model.named_parameters()}
    average = {name: whole(p) for name, p in run.average.weights.items()} if run.average else {}
    if run.ranks.first:
        notes = next(c for c in run.callbacks if isinstance(c, Notes))
        figures = {"losses": notes.losses, "gradients": notes.gradients, "dev": dev, "tokens": notes.tokens}
        (job.folder / "figures.json").write_text(json.dumps(figures))
        save_file({name: p.contiguous() for name, p in weights.items()}, job.folder / "weights.safetensors")
        save_file({name: p.contiguous() for name, p in average.items()}, job.folder / "average.safetensors")
    run.ranks.leave()


def learn(job: Job, world: int) -> Learnt:
    """Carry a job out on `world` processes."""
    job.folder.mkdir(parents=True, exist_ok=True)
    together(world, work, job)
    figures = json.loads((job.folder / "figures.json").read_text())
    weights, average = (load_file(job.folder / f"{name}.safetensors") for name in ("weights", "average"))
    return Learnt(weights=weights, average=average, **figures)


def together(world: int, function: Callable[..., None], *args: Any) -> None:
    """Call a function in `world` processes that find each other, each of which must come to its end."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    port = free_port()
    processes = [context.Process(target=ranked, args=(rank, world, port, function, args)) for rank in range(world)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert codes == [0] * world, codes


def ranked(rank: int, world: int, port: int, function: Callable[..., None], args: tuple[Any, ...]) -> None:
    """Call a function with what torchrun would have told this process."""
    if world > 1:
        told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ |= {name: str(value) for name, value in told.items()}
    torch.set_num_threads(1)
    function(*args)


def save_without_room(job: Job) -> None:
    """A checkpoint, then one for which the last rank has no room; each rank notes what it is told."""
    run = trainer(job)
    run.step()
    checkpoint.save(job.folder / "checkpoints", run, keep=1)
    run.step()
    if run.ranks.rank == run.ranks.world - 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    said = ""
    try:
        checkpoint.save(job.folder / "checkpoints", run, keep=1)
    except TrainingError as e:
        said = str(e)
    (job.folder / f"said-{run.ranks.rank}").write_text(said)
    run.ranks.leave()


def fail_in_turn(folder: Path) -> None:
    """Rank 0 cannot do what the others wait for; each rank notes what it is told."""
    ranks = join("cpu")
    try:
        with ranks.turn() as writes:
            if writes:
                raise OptionError("there is no such thing")
    except (OptionError, TrainingError) as e:
        (folder / f"said-{ranks.rank}").write_text(str(e))
    ranks.leave()


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
