"""From a name to a model in use: find the file, read it, choose what computes it."""

from pathlib import Path

from clearhead.checkpoints.catalogue import DEFAULT_MODEL, Progress, resolve
from clearhead.checkpoints.folder import tokenizer_of
from clearhead.checkpoints.opening import is_recurrent, is_vocabulary, open_checkpoint
from clearhead.engine.choice import choose
from clearhead.engine.model import Model
from clearhead.engine.progress import watched
from clearhead.errors import OptionError, TokenizerError
from clearhead.recurrent.folder import open_recurrent
from clearhead.text.tokenizer import Tokenizer


def load(
    model: str | Path = DEFAULT_MODEL,
    *,
    executor: str = "auto",
    dtype: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    offline: bool = False,
    progress: Progress | None = None,
) -> Model:
    """A model by catalogue name, Hugging Face id (`owner/name`, `owner/name@revision`), folder or file.

    `executor` is "native" (the processor) or "torch"; "auto" takes torch where there is a GPU. `dtype` is what weights
    are computed in; "auto" keeps what the file holds, for the native executor, and for torch is bfloat16 on a GPU and
    float32 elsewhere. The native executor knows float32, bfloat16, int8 and int4, torch float64, float32, bfloat16 and
    float16. `threads` is 1 to 1024; None takes the physical cores this process may use. `progress` hears of a
    download; without one, a bar is drawn where somebody watches standard error.

    Raises:
        UnknownModelError: no such name, id or path.
        DownloadError: no source could deliver it.
        CheckpointError, ConfigError: a file that cannot be read, or describes no model Clearhead computes.
        OptionError: an executor, dtype, device or number of threads that is unknown or not to be had here.
        MissingDependencyError: the executor's packages are not installed.
    """
    if not isinstance(model, str | Path):
        raise OptionError(f"model is {model!r}; give a catalogue name, a Hugging Face id or a path")
    choice = choose(executor, dtype, device, threads)
    with watched(progress) as watcher:
        path = resolve(model, offline=offline, progress=watcher)
    if is_recurrent(path):
        from clearhead.engine.recurrent import load_recurrent

        return load_recurrent(path, str(model), executor=executor, dtype=dtype, device=device, threads=threads)
    checkpoint = open_checkpoint(path)
    return Model(name=str(model), executor=choice.build(checkpoint), checkpoint=checkpoint)


def load_tokenizer(model: str | Path = DEFAULT_MODEL, *, offline: bool = False) -> Tokenizer:
    """A model's vocabulary alone, without its weights; or that of a folder which holds nothing else.

    Raises:
        UnknownModelError, DownloadError, CheckpointError, ConfigError: see `load`.
        TokenizerError: the checkpoint carries no vocabulary.
    """
    with watched(None) as watcher:
        path = resolve(model, offline=offline, progress=watcher)
    if is_vocabulary(path):
        tokenizer = tokenizer_of(path)
    else:
        tokenizer = open_recurrent(path).tokenizer if is_recurrent(path) else open_checkpoint(path).tokenizer
    if tokenizer is None:
        raise TokenizerError(f"{model} carries no vocabulary")
    return tokenizer()
