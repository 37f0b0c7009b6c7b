"""How long work says that it goes on: stages of equal pieces."""

from typing import Protocol


class Watch(Protocol):
    """Whoever draws the progress."""

    def begin(self, description: str, total: int) -> None:
        """A stage of so many pieces starts."""

    def advance(self, amount: int) -> None:
        """So many pieces are done."""


class Silent:
    """Nobody watches."""

    def begin(self, description: str, total: int) -> None:
        """Nothing to do."""

    def advance(self, amount: int) -> None:
        """Nothing to do."""


silent = Silent()
