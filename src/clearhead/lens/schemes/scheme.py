"""What the pictures of a model's own positions share, and what they are made from. P positions."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from clearhead.config import ModelConfig, Position
from clearhead.lens.positions import Positions
from clearhead.lens.terminal import fit

Floats = NDArray[np.floating[Any]]
WeightOf = Callable[[str], NDArray[Any]]  # a weight by its name in families/layout.py


@dataclass(frozen=True, kw_only=True, repr=False)
class Scheme(Positions):
    """What the views of a model's own positions share."""

    name: str  # of the model
    labels: tuple[str, ...]  # of positions: tokens or numbers
    scheme: ClassVar[Position]

    @property
    @abstractmethod
    def about(self) -> str:
        """How to read the picture, in two sentences."""

    @property
    def model(self) -> dict[str, Any]:
        """Whose positions these are."""
        return {"name": self.name}

    def heading(self, width: int) -> Text:
        """The first lines in a terminal."""
        return Text().append(fit(self.title, width) + "\n\n", "bold")

    def common(self) -> dict[str, Any]:
        """Fields that every scheme has."""
        return {"scheme": self.scheme, "list": None, "labels": list(self.labels), "note": self.about}


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a scheme's view is made from."""

    config: ModelConfig
    weight_of: WeightOf
    labels: tuple[str, ...]
    name: str

    @property
    def common(self) -> dict[str, Any]:
        """Fields that every view has."""
        return {"name": self.name, "labels": self.labels}
