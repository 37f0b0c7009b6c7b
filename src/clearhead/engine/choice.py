"""Which executor computes a model, in which numbers and with what: checked before anything is fetched."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from clearhead.checkpoints.checkpoint import Checkpoint
from clearhead.errors import MissingDependencyError, OptionError
from clearhead.executor import Executor

EXECUTORS = ("native", "torch")
TORCH_ONLY = ("float64", "float16")  # types that only torch computes in


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """An executor with everything decided but the model."""

    executor: str
    dtype: str
    device: str
    threads: int | None

    def build(self, checkpoint: Checkpoint) -> Executor:
        """The executor with the checkpoint's weights."""
        if self.executor == "torch":
            from clearhead.model.executor import TorchExecutor

            return TorchExecutor(checkpoint.config, checkpoint.weights(), self.dtype, self.device)
        from clearhead.native.executor import NativeExecutor
        from clearhead.native.store import open_packed
        from clearhead.native.threads import default_threads

        packed = open_packed(checkpoint, self.dtype)
        threads = default_threads() if self.threads is None else self.threads
        return NativeExecutor(checkpoint.config, packed, packed.dtype, threads=threads)


def choose(executor: str = "auto", dtype: str = "auto", device: str = "auto", threads: int | None = None) -> Choice:
    """Fill in what is left to "auto": a GPU's torch where there is one, else the native executor on the processor.

    Raises:
        OptionError: an unknown executor, dtype or device, or some that do not go together.
        MissingDependencyError: what the executor needs is not installed.
    """
    check_threads(threads)
    if executor not in (*EXECUTORS, "auto"):
        raise OptionError(f"executor {executor!r} is unknown; choose from auto, {', '.join(EXECUTORS)}")
    if executor == "auto":
        elsewhere = device not in ("auto", "cpu") or dtype in TORCH_ONLY
        executor = "torch" if elsewhere or (device == "auto" and gpu()) else "native"
    if executor == "torch":
        return torch_choice(dtype, device, threads)
    if device not in ("auto", "cpu"):
        raise OptionError(f"the native executor computes on the processor, not on {device!r}; choose executor 'torch'")
    if dtype in TORCH_ONLY:
        raise OptionError(
            f"dtype {dtype!r} is for the torch executor; the native one has auto, float32, bfloat16, int8, int4"
        )
    check_extension()
    from clearhead.native.packing import check_dtype

    check_dtype(dtype)
    return Choice(executor=executor, dtype=dtype, device="cpu", threads=threads)


def torch_choice(dtype: str, device: str, threads: int | None) -> Choice:
    """torch's numbers and device: bfloat16 on a GPU, float32 on a processor."""
    if find_spec("torch") is None:
        asked = f"dtype {dtype!r}" if dtype in TORCH_ONLY else "executor 'torch'"
        asked = f"device {device!r}" if device not in ("auto", "cpu") else asked
        raise MissingDependencyError(f"{asked} needs torch; install it with: pip install 'clearhead[train]'")
    from clearhead.model.loading import check_arithmetic

    if device == "auto":
        device = "cuda" if gpu() else "cpu"
    if dtype == "auto":
        dtype = "bfloat16" if device.startswith("cuda") else "float32"
    check_arithmetic(dtype, device)
    if threads is not None:
        from clearhead.model.devices import use_threads

        use_threads(threads)
    return Choice(executor="torch", dtype=dtype, device=device, threads=threads)


def gpu() -> bool:
    """Whether torch is installed and finds an NVIDIA GPU. Its import takes seconds, so a driver is looked for first."""
    if find_spec("torch") is None or not (
        Path("/dev/nvidiactl").exists() or Path("/dev/dxg").exists() or windows_driver()
    ):
        return False
    from clearhead.model.devices import has_cuda

    return has_cuda()


def windows_driver() -> bool:
    """Whether this is Windows with NVIDIA's driver."""
    return Path("C:/Windows/System32/nvcuda.dll").exists()


def check_threads(threads: Any) -> None:
    """Refuse a number of threads that cannot be."""
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= 1024):
        raise OptionError(f"threads is {threads!r}; it must be a whole number from 1 to 1024")


def check_extension() -> None:
    """Refuse an installation without the native executor's compiled part.

    Raises:
        MissingDependencyError: what to install.
    """
    try:
        from clearhead.native import _native  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            f"the native executor is not built ({error}); install a C++20 compiler (Debian: apt install g++, macOS: "
            "xcode-select --install) and run pip install again, or choose executor 'torch'"
        ) from None
