"""What looks on while a run steps."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from clearhead.training.trainer import Trainer


Warn = Callable[[str], None]  # tells people, in a line, of something that did not end the run


def silently(line: str) -> None:
    """Nobody is to be told."""


class Callback:
    """Does nothing; a subclass does one thing."""

    def before(self, trainer: "Trainer") -> None:
        """The run begins, or goes on."""

    def after(self, trainer: "Trainer") -> None:
        """A step is done."""

    def end(self, trainer: "Trainer") -> None:
        """The run is over, or broken off."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint must keep of it."""
        return {}

    def tensors(self) -> Mapping[str, Tensor]:
        """What of that has a shape."""
        return {}

    def load(self, state: dict[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Be as it was at that checkpoint."""
