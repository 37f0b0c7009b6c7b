"""What is to compute a model, and in which numbers, as one value that is handed on until a model is loaded."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clearhead.engine.model import Model


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """The arguments of `clearhead.load` that say how a model runs, not which."""

    executor: str = "auto"
    dtype: str = "auto"
    device: str = "auto"
    threads: int | None = None
    offline: bool = False

    def small(self, dtype: str = "auto") -> "Machine":
        """For a small model: the processor, where nothing else is asked for; it is done before a GPU is ready."""
        if (self.executor, self.dtype, self.device) != ("auto", "auto", "auto"):
            return self
        return replace(self, executor="native", dtype=dtype)

    def check(self) -> None:
        """Refuse what cannot be, before anything is fetched; errors as `clearhead.load`."""
        from clearhead.engine.choice import choose

        choose(self.executor, self.dtype, self.device, self.threads)

    def load(self, model: str | Path) -> "Model":
        """A model, for this machine; errors as `clearhead.load`."""
        from clearhead.engine.loading import load

        return load(
            model,
            executor=self.executor,
            dtype=self.dtype,
            device=self.device,
            threads=self.threads,
            offline=self.offline,
        )


ANY = Machine()  # whatever is best here
