"""What an evaluation is asked to do, the same for every task, and how it says that it is under way."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from clearhead.engine.machine import ANY, Machine
from clearhead.engine.model import Model
from clearhead.errors import OptionError

Row = TypeVar("Row")
Progress = Callable[[int, int], None]  # items that are done, of how many


def silent(_done: int, _of: int) -> None:
    """The default: nobody watches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A model, a file of examples, and how much of it."""

    data: Path
    model: str | Path | Model | None = None  # None: the task's own default
    machine: Machine = ANY
    references: Path | None = None  # a second file, for data that comes in two
    fields: Sequence[str] | None = None  # which keys of JSON Lines are input and expected
    from_: str | None = None  # languages, for translation
    to: str | None = None
    limit: int | None = None  # the first so many rows; None: all
    samples: int = 1  # answers to each problem, for pass@k
    seed: int = 0  # of the bootstrap, and of whatever is drawn
    progress: Progress = silent

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise OptionError(f"limit is {self.limit}; give a number of rows from 1 on")
        if self.samples < 1:
            raise OptionError(f"samples is {self.samples}; give a number from 1 on")

    def loaded(self, default: str) -> Model:
        """The model, loaded; `default` where none is named."""
        if isinstance(self.model, Model):
            return self.model
        return self.machine.load(default if self.model is None else self.model)

    def watched(self, rows: Iterable[Row], of: int, before: int = 0) -> Iterator[Row]:
        """The same rows, each counted as it passes; `before` are done, of `of` in all."""
        for done, row in enumerate(rows, start=before + 1):
            yield row
            self.progress(done, of)
