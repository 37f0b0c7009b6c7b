"""Clearhead as a user starts it: nothing is imported that `complete` does not need."""

from typing import Any

import clearhead as ch
from benchmarks import engine


class Engine(engine.Engine):
    """`model` is whatever `clearhead.load` takes."""

    package = "clearhead"

    def __init__(self, model: str, threads: int, dtype: str = "auto") -> None:
        super().__init__(model, threads)
        self.loaded: Any = ch.load(model, executor="native", dtype=dtype, threads=threads)

    def first(self, prompt: str) -> None:
        """Of a chat."""
        next(iter(self.loaded.stream(prompt)))
