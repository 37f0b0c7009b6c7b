"""From a name to a model in use: find the file, read it, choose what computes it."""

from importlib.util import find_spec
from pathlib import Path

from clearhead.checkpoints.catalogue import DEFAULT_MODEL, Progress, resolve
from clearhead.checkpoints.checkpoint import Checkpoint
from clearhead.checkpoints.opening import open_checkpoint
from clearhead.engine.model import Model
from clearhead.errors import MissingDependencyError, OptionError
from clearhead.executor import Executor
from clearhead.text.tokenizer import Tokenizer

EXECUTORS = ("torch",)


def load(
    model: str | Path = DEFAULT_MODEL,
    *,
    executor: str = "torch",
    dtype: str = "float32",
    device: str = "cpu",
    offline: bool = False,
    progress: Progress | None = None,
) -> Model:
    """A model by catalogue name, Hugging Face id (`owner/name`, `owner/name@revision`), folder or file.

    `progress` hears of a download; without one it is silent.

    Raises:
        UnknownModelError: no such name, id or path.
        DownloadError: no source could deliver it.
        CheckpointError, ConfigError: a file that cannot be read, or describes no model Clearhead computes.
        MissingDependencyError: the executor's packages are not installed.
    """
    check_executor(executor)
    checkpoint = open_checkpoint(resolve(model, offline=offline, progress=progress))
    return Model(name=str(model), executor=build_executor(checkpoint, executor, dtype, device), checkpoint=checkpoint)


def check_executor(name: str) -> None:
    """Refuse an executor that is unknown or lacks its packages, before anything is fetched for it."""
    if name not in EXECUTORS:
        raise OptionError(f"executor {name!r} is unknown; choose from {', '.join(EXECUTORS)}")
    if find_spec("torch") is None:
        raise MissingDependencyError("the torch executor needs torch; install it with: pip install 'clearhead[train]'")


def build_executor(checkpoint: Checkpoint, name: str, dtype: str, device: str) -> Executor:
    """The executor of this name with the checkpoint's weights."""
    check_executor(name)
    from clearhead.model.executor import TorchExecutor

    return TorchExecutor(checkpoint.config, checkpoint.weights(), dtype, device)


def load_tokenizer(model: str | Path = DEFAULT_MODEL, *, offline: bool = False) -> Tokenizer:
    """A model's vocabulary alone, without its weights.

    Raises:
        TokenizerError: the checkpoint carries no vocabulary.
    """
    from clearhead.errors import TokenizerError

    checkpoint = open_checkpoint(resolve(model, offline=offline))
    if checkpoint.tokenizer is None:
        raise TokenizerError(f"{model} carries no vocabulary")
    return checkpoint.tokenizer()
