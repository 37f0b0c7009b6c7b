"""From a name to a model in use: find the file, read it, choose what computes it."""

from importlib.util import find_spec
from pathlib import Path

from clearhead.checkpoints.catalogue import DEFAULT_MODEL, Progress, resolve
from clearhead.checkpoints.checkpoint import Checkpoint
from clearhead.checkpoints.opening import open_checkpoint
from clearhead.engine.model import Model
from clearhead.engine.progress import watched
from clearhead.errors import MissingDependencyError, OptionError, TokenizerError
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

    `progress` hears of a download; without one, a bar is drawn where somebody watches standard error.

    Raises:
        UnknownModelError: no such name, id or path.
        DownloadError: no source could deliver it.
        CheckpointError, ConfigError: a file that cannot be read, or describes no model Clearhead computes.
        MissingDependencyError: the executor's packages are not installed.
    """
    if not isinstance(model, str | Path):
        raise OptionError(f"model is {model!r}; give a catalogue name, a Hugging Face id or a path")
    check_executor(executor, dtype, device)
    with watched(progress) as watcher:
        path = resolve(model, offline=offline, progress=watcher)
    checkpoint = open_checkpoint(path)
    return Model(name=str(model), executor=build_executor(checkpoint, executor, dtype, device), checkpoint=checkpoint)


def check_executor(name: str, dtype: str, device: str) -> None:
    """Refuse, before anything is fetched, an executor that is unknown, lacks its packages or cannot compute so."""
    if name not in EXECUTORS:
        raise OptionError(f"executor {name!r} is unknown; choose from {', '.join(EXECUTORS)}")
    if find_spec("torch") is None:
        raise MissingDependencyError("the torch executor needs torch; install it with: pip install 'clearhead[train]'")
    from clearhead.model.loading import check_arithmetic

    check_arithmetic(dtype, device)


def build_executor(checkpoint: Checkpoint, name: str, dtype: str, device: str) -> Executor:
    """The executor of this name with the checkpoint's weights."""
    check_executor(name, dtype, device)
    from clearhead.model.executor import TorchExecutor

    return TorchExecutor(checkpoint.config, checkpoint.weights(), dtype, device)


def load_tokenizer(model: str | Path = DEFAULT_MODEL, *, offline: bool = False) -> Tokenizer:
    """A model's vocabulary alone, without its weights.

    Raises:
        TokenizerError: the checkpoint carries no vocabulary.
    """
    with watched(None) as watcher:
        path = resolve(model, offline=offline, progress=watcher)
    checkpoint = open_checkpoint(path)
    if checkpoint.tokenizer is None:
        raise TokenizerError(f"{model} carries no vocabulary")
    return checkpoint.tokenizer()
