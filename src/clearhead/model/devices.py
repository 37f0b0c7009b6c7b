"""What torch has to compute with on this machine."""

import torch

from clearhead.errors import OptionError


def names() -> list[str]:
    """Every device that can be named, the processor first."""
    found = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    return [*found, "mps"] if torch.backends.mps.is_available() else found


def find(name: str) -> torch.device:
    """The device of this name, tried out.

    Raises:
        OptionError: torch knows none of this name, or this machine has none.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError):
        raise OptionError(f"device {name!r} cannot be used; this machine has {', '.join(names())}") from None
    return device


def describe() -> str:
    """Version, devices, threads and the vector instructions torch was built to use, in one line."""
    capability = torch.backends.cpu.get_cpu_capability()
    return f"torch {torch.__version__} on {', '.join(names())}; {torch.get_num_threads()} threads, {capability}"


def has_cuda() -> bool:
    """Whether torch can compute on an NVIDIA GPU here."""
    return torch.cuda.is_available()


def use_threads(threads: int) -> None:
    """Have torch compute with so many threads on a processor, for the whole process."""
    torch.set_num_threads(threads)
