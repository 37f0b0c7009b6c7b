"""Every failure a person can meet, each one clear line that names the value and the remedy.

The command line prints `str(error)` and leaves with `error.exit_status`: 2 when what was asked for cannot be done as
asked (a bad file, a bad option, a prompt that does not fit), 1 when a sound request failed on the way.
"""


class ClearheadError(Exception):
    """The root of all errors raised on purpose; anything else that escapes is a defect of Clearhead."""

    exit_status = 2


class ConfigError(ClearheadError):
    """A model configuration that no Transformer can have, or that Clearhead does not read."""


class CheckpointError(ClearheadError):
    """A model file that is damaged, incomplete, ambiguous, of an unsafe kind or of an unknown one."""


class TokenizerError(ClearheadError):
    """A vocabulary that cannot be read, or text asked of a model that came without one."""


class TemplateError(ClearheadError):
    """A chat template that is malformed, forbidden or endless, or messages that it refuses."""


class OptionError(ClearheadError):
    """A generation option outside its range, or two that contradict each other."""


class TraceBudgetError(OptionError):
    """A trace that would take more memory than it may."""


class ContextWindowError(ClearheadError):
    """A prompt that does not fit in the model's context window."""


class UnknownModelError(ClearheadError):
    """A model name that is neither in the catalogue, nor a Hugging Face id, nor a path that exists."""


class MissingDependencyError(ClearheadError):
    """An optional package that the request needs and this environment lacks."""


class UnsupportedError(ClearheadError):
    """A sound request that this model cannot serve, such as masked filling asked of a decoder."""


class DownloadError(ClearheadError):
    """Every source of a model failed, or what arrived is not what was promised."""

    exit_status = 1


class DataError(ClearheadError):
    """Training data that cannot be used as it is."""


class TrainingError(ClearheadError):
    """A training run that cannot go on: a loss that is no number, a disk that is full."""

    exit_status = 1


class DivergedError(TrainingError):
    """A loss or a gradient that is no number."""


class StoppedError(TrainingError):
    """A training run that a signal asked to stop; it was saved, and can be gone on with."""

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal
        self.exit_status = 128 + signal  # as shells report it


class OutputError(ClearheadError):
    """A result that cannot be written: a disk that is full, a folder that was taken away."""

    exit_status = 1


def lacks_memory(error: BaseException) -> bool:
    """Whether an error that is none of ours says that memory ran out, here or on an accelerator."""
    said = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or "OutOfMemory" in type(error).__name__
        or "allocate memory" in said
        or "out of memory" in said
    )
