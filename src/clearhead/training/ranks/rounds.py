"""A name for this start of a run's processes, which no earlier start had: what they say under it cannot be stale.

torchrun keeps one store of keys and values for as long as it runs, and starts all processes again after one of them was
lost. They would find there the addresses of those that are gone, and wait for them. Nothing that torchrun tells them
numbers the starts alike on all machines, so rank 0 makes up a name, and each of the others goes by one only once rank 0
has answered it under that name.
"""

from time import sleep
from typing import Any
from uuid import uuid4

PAUSE = 0.02  # seconds between two looks
ROUND = "clearhead/round"


def named(store: Any, rank: int, world: int) -> str:
    """This start's name, the same on all ranks, once all are there. `store` is torch's, shared by all."""
    return called(store, world) if rank == 0 else heard(store, rank)


def called(store: Any, world: int) -> str:
    """Rank 0: give a name, and answer everybody who takes it up."""
    name = str(uuid4())
    store.set(ROUND, name)
    for rank in range(1, world):
        store.set(answer(name, rank), store.get(question(name, rank)))
    return name


def heard(store: Any, rank: int) -> str:
    """The others: take up whatever name there is, until an answer comes to what was asked."""
    mine = str(uuid4())
    while True:
        name = store.get(ROUND).decode()
        store.set(question(name, rank), mine)
        while store.get(ROUND).decode() == name:
            if store.check([answer(name, rank)]) and store.get(answer(name, rank)).decode() == mine:
                return name
            sleep(PAUSE)


def question(name: str, rank: int) -> str:
    """The key under which a rank asks whether a name is new."""
    return f"{ROUND}/{name}/{rank}"


def answer(name: str, rank: int) -> str:
    """The key under which it is told."""
    return f"{ROUND}/{name}/{rank}/new"
