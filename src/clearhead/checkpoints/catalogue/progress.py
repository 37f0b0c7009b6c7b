"""How far a download is, told to whoever draws it; this floor draws nothing itself."""

from typing import Protocol


class Progress(Protocol):
    """What the catalogue reports while it works. Calls come one at a time, though not always from the same thread."""

    def begin(self, description: str, total: int) -> None:
        """A stage starts: `total` bytes to come, or 0 where the work cannot be measured."""

    def advance(self, amount: int) -> None:
        """`amount` bytes of the stage are done; negative where some have to be fetched again."""


class Silent:
    """Progress that nobody watches."""

    def begin(self, description: str, total: int) -> None:
        """Ignored."""

    def advance(self, amount: int) -> None:
        """Ignored."""
