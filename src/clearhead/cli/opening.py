"""From what a person calls a model to the thing itself, with a sign of life on the way."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from clearhead.cli.progress import progress
from clearhead.cli.screen import messages
from clearhead.text.printable import one_line

if TYPE_CHECKING:
    from clearhead.checkpoints.checkpoint import Checkpoint
    from clearhead.engine.machine import Machine
    from clearhead.engine.model import Model
    from clearhead.text.tokenizer import Tokenizer


def find(model: str, *, offline: bool) -> Path:
    """Where the model lies on this machine, fetched first if need be."""
    from clearhead.checkpoints.catalogue import resolve

    with progress() as watcher:
        return resolve(model, offline=offline, progress=watcher)


def open_model(model: str, *, offline: bool) -> "Checkpoint":
    """Everything about a model but its weights."""
    from clearhead.checkpoints.opening import open_checkpoint

    return open_checkpoint(find(model, offline=offline))


def load_model(model: str, machine: "Machine") -> "Model":
    """A model ready to run."""
    machine.check()  # what cannot be is refused before anything is fetched
    path = find(model, offline=machine.offline)
    with working(f"loading {path.name}"):
        loaded = machine.load(path)
        loaded.name = model
        return loaded


def load_instruction_model(model: str | None, machine: "Machine", task: str, *, quiet: bool) -> "Model":
    """The model that is named, or the task's own, which must follow instructions; that it is small for `task`, such as
    "essays", is said.
    """
    from clearhead.cli.screen import note
    from clearhead.tasks.choice import advice, instruction_model, instruction_model_name

    loaded = instruction_model(load_model(model or instruction_model_name(), machine))
    if not quiet and (said := advice(loaded, task)) is not None:
        note(said)
    return loaded


@contextmanager
def working(what: str) -> Iterator[None]:
    """A moving sign on a terminal while the block runs."""
    console = messages()
    if console.color_system is None:
        yield
        return
    from rich.text import Text

    with console.status(Text(one_line(what), style="dim")):
        yield


def require_tokenizer(checkpoint: "Checkpoint", model: str) -> "Tokenizer":
    """The vocabulary of a model that must have one.

    Raises:
        TokenizerError: it came without.
    """
    from clearhead.errors import TokenizerError

    if checkpoint.tokenizer is None:
        raise TokenizerError(f"{model} came without a vocabulary; it can be given token ids, but no text")
    return checkpoint.tokenizer()
