"""A recurrent model in use: it writes text as any other, and has nothing of what only a Transformer can show."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

from clearhead.checkpoints.checkpoint import Checkpoint
from clearhead.engine.choice import choose
from clearhead.engine.model import Model
from clearhead.errors import MissingDependencyError, OptionError, UnsupportedError
from clearhead.families.layout import count
from clearhead.recurrent.folder import RecurrentCheckpoint, open_recurrent, save_recurrent
from clearhead.recurrent.layout import layout

if TYPE_CHECKING:
    from clearhead.lens.model_lens import ModelLens


@dataclass(kw_only=True, repr=False)
class RecurrentModel(Model):
    """One loaded recurrent model; `config` is a `RecurrentConfig`, `checkpoint` a `RecurrentCheckpoint`."""

    def __repr__(self) -> str:
        """One line, for a notebook."""
        config = self.opened.config
        parameters = count(layout(config))
        return f"<{self.name}: {config.cell} {config.kind}, {parameters:,} parameters, {self.executor.name}>"

    @property
    def opened(self) -> RecurrentCheckpoint:
        """The checkpoint by its own name."""
        return cast(RecurrentCheckpoint, self.checkpoint)

    @property
    def lens(self) -> "ModelLens":
        """Nothing.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(f"the lens looks into Transformers; {self.name} is recurrent")

    def save(self, folder: str | Path, *, dtype: str = "float32") -> None:
        """Write a new folder, which `clearhead.load` opens.

        Raises:
            CheckpointError: the folder exists and is not empty.
        """
        save_recurrent(
            Path(folder),
            self.opened.config,
            self.opened.weights(),
            dtype=dtype,
            special=self.special,
            tokenizer=None if self.opened.tokenizer is None else self.tokenizer,
        )


def load_recurrent(
    folder: Path, name: str, *, executor: str, dtype: str, device: str, threads: int | None
) -> RecurrentModel:
    """The recurrent model in `folder`, which torch computes; options and errors as `clearhead.load`.

    Raises:
        OptionError: the native executor was asked for.
        MissingDependencyError: torch is not installed.
    """
    if executor == "native":
        raise OptionError("the native executor computes Transformers; a recurrent model runs on executor 'torch'")
    if find_spec("torch") is None:
        raise MissingDependencyError(
            f"{folder.name} is a recurrent model and needs torch; install it with: pip install 'clearhead[train]'"
        )
    choice, opened = choose("torch", dtype, device, threads), open_recurrent(folder)
    from clearhead.recurrent.executor import RecurrentExecutor

    made = RecurrentExecutor(opened.config, opened.weights(), choice.dtype, choice.device)
    checkpoint = cast(Checkpoint, opened)  # `Model` reads of it only what both have
    return RecurrentModel(name=name, executor=made, checkpoint=checkpoint)
