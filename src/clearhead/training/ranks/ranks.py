"""Who a process is among those of a run, and the few words it has with the others.

torchrun starts the processes and tells each its rank in the environment. Without it there is one process, which agrees
with itself, and nothing of torch.distributed is started.

What is said here is small and goes between processors (gloo), whatever carries the gradients. Nobody loses patience:
the other ranks wait for days while rank 0 prepares data. A rank that is lost ends the conversation at once all the
same, for its connections close.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch

from clearhead.errors import OptionError, TrainingError
from clearhead.training.ranks.rounds import named

PATIENCE = timedelta(days=30)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranks:
    """One process: rank 0 of 1."""

    rank: int = 0
    world: int = 1  # how many
    local: int = 0  # which of its machine's
    restarted: bool = False  # by torchrun, after one of them was lost

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def sums(self, *values: float) -> list[float]:
        """Each value summed over all ranks, the same to the bit on each; in float64."""
        return list(values)

    def told(self, word: str) -> str:
        """What rank 0 says."""
        return word

    def wait(self) -> None:
        """Until all have come here."""

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """A block in which rank 0 writes and the others skip to its end: whether this is rank 0. An error of rank 0 is
        everybody's.

        Raises:
            TrainingError: on the other ranks, with what rank 0 could not do.
        """
        yield True

    def device(self, name: str) -> str:
        """The device of this rank, of those of a kind: one GPU each."""
        return name

    def seed(self, seed: int, step: int) -> None:
        """Have torch draw what only this rank draws, from a step of a run on."""
        torch.manual_seed(int(np.random.SeedSequence([seed, step, self.rank]).generate_state(1, np.uint64)[0] >> 1))

    def leave(self) -> None:
        """The others go on without this one."""


ALONE = Ranks()


@dataclass(frozen=True, kw_only=True, slots=True)
class Several(Ranks):
    """One of some processes; `group` is a process group over gloo."""

    group: Any

    def sums(self, *values: float) -> list[float]:
        """Each value summed over all ranks."""
        import torch.distributed as dist

        both = torch.tensor(values, dtype=torch.float64)
        with lost():
            dist.all_reduce(both, group=self.group)
        return both.tolist()

    def told(self, word: str) -> str:
        """What rank 0 says, as bytes behind their number."""
        import torch.distributed as dist

        said = (
            torch.frombuffer(bytearray(word.encode()), dtype=torch.uint8) if word else torch.empty(0, dtype=torch.uint8)
        )
        size = torch.tensor([len(said)])
        with lost():
            dist.broadcast(size, 0, group=self.group)
            heard = said if self.first else torch.empty(int(size), dtype=torch.uint8)
            if len(heard):
                dist.broadcast(heard, 0, group=self.group)
        return bytes(heard.tolist()).decode()

    def wait(self) -> None:
        """Until all have come here."""
        self.sums(0.0)

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """A block of rank 0's, whose error is everybody's."""
        try:
            yield self.first
        except Exception as e:
            if self.first:
                self.told(str(e) or type(e).__name__)
            raise
        if (failed := self.told("")) and not self.first:
            raise TrainingError(failed)

    def device(self, name: str) -> str:
        """One GPU for each rank of a machine.

        Raises:
            OptionError: a single GPU is named for all of them.
        """
        kind, _, number = name.partition(":")
        if number:
            raise OptionError(
                f"device {name} is one, and there are {self.world} processes; give {kind}, of which each takes one"
            )
        return f"cuda:{self.local}" if kind == "cuda" else name

    def leave(self) -> None:
        """Close the connections."""
        import torch.distributed as dist

        dist.destroy_process_group()


def join(device: str) -> Ranks:
    """The place among the others that torchrun's environment tells, once all are there; alone where it tells none.

    Raises:
        OptionError: a rank that is not below the number of processes.
    """
    rank, world, local, restarts = (
        int(os.environ.get(name, default))
        for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0), ("TORCHELASTIC_RESTART_COUNT", 0))
    )
    if not 0 <= rank < world:
        raise OptionError(
            f"RANK is {rank} and WORLD_SIZE is {world}; ranks go from 0 to one below; start with torchrun"
        )
    if world == 1:
        return Ranks(restarted=restarts > 0)
    import torch.distributed as dist

    gpu = device.startswith("cuda")
    if gpu:
        torch.cuda.set_device(local)
    with lost():
        store, _, _ = next(dist.rendezvous("env://", rank, world))  # type: ignore[attr-defined]
        fresh = dist.PrefixStore(named(store, rank, world), store)  # type: ignore[attr-defined]
        backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
        dist.init_process_group(backend, store=fresh, rank=rank, world_size=world)
        group = dist.new_group(backend="gloo", timeout=PATIENCE)
    return Several(rank=rank, world=world, local=local, restarted=restarts > 0, group=group)


@contextmanager
def lost() -> Iterator[None]:
    """A block that talks to the others: what torch says of a closed connection, in our words.

    Raises:
        TrainingError: one of them is gone.
    """
    try:
        yield
    except RuntimeError as e:
        if not (type(e).__name__.startswith("Dist") or "gloo" in str(e)):
            raise
        raise TrainingError(
            "another process of this run was lost; torchrun with --max-restarts starts all of them again, and they go"
            " on from the newest checkpoint"
        ) from None
