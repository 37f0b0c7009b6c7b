"""A trace that can be looked at, kept and compared: what `Model.trace` returns."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearhead.errors import OptionError
from clearhead.trace import Trace as Recording

if TYPE_CHECKING:
    from clearhead.lens.lens import Lens
    from clearhead.trace.comparison import Comparison


@dataclass(slots=True, repr=False, eq=False)
class Trace(Recording):
    """What a run showed of itself: arrays by path (`trace["decoder.layers.3.attention.weights"]`), and pictures of them
    (`trace.lens`)."""

    source: Any = None  # the model that was traced; views that compute anything new need it

    @property
    def lens(self) -> "Lens":
        """Pictures of this trace."""
        from clearhead.lens.lens import Lens

        return Lens(self, self.source)

    def save(self, path: str | Path) -> None:
        """Write it as one safetensors file, complete or not at all.

        Raises:
            OptionError: the file cannot be written or exists already, or the disk is too small.
        """
        from clearhead.trace.file import save

        save(self, path)

    @classmethod
    def load(cls, path: str | Path, model: Any = None) -> "Trace":
        """Open a saved trace; arrays are read from the file when they are looked at. `model` is for views that need it.

        Raises:
            OptionError: no trace, a damaged one, or one of another model.
        """
        from clearhead.trace.file import load

        trace = load(path, cls)
        assert isinstance(trace, cls)
        if model is not None and model.config != trace.config:
            raise OptionError(f"{path} was traced with {trace.model or 'another model'}, not with {model.name}")
        trace.source = model
        return trace

    def compare(self, other: Recording) -> "Comparison":
        """Where this run and another of the same model part.

        Raises:
            OptionError: two models, or nothing in common.
        """
        from clearhead.trace.comparison import compare

        return compare(self, other)
