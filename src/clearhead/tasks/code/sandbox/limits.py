"""What a program may take, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from clearhead.config import check_number

MIB = 2**20
KILLED, XCPU = 9, 24  # signals, as Linux numbers them


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a program may take. Memory, processor time and open files are counted for each of its processes.

    Raises:
        OptionError: a number with which no program could start, or one beyond all sense.
    """

    seconds: float = 10.0  # of wall time, for all of it
    processor_seconds: int = 10
    memory: int = 512 * MIB  # bytes of address space
    file_size: int = 16 * MIB  # bytes of one file
    disk: int = 64 * MIB  # bytes of all files, where a file system of its own can be made
    open_files: int = 64
    processes: int = 16  # with their threads
    output: int = 64 * 1024  # bytes of each of its two outputs that are kept; the rest is read and counted

    def __post_init__(self) -> None:
        check_number("seconds", self.seconds, 0.1, 3600, whole=False)
        check_number("processor_seconds", self.processor_seconds, 1, 3600, whole=True)
        check_number("memory", self.memory, 64 * MIB, 2**40, whole=True)
        check_number("file_size", self.file_size, 4096, 2**40, whole=True)
        check_number("disk", self.disk, MIB, 2**40, whole=True)
        check_number("open_files", self.open_files, 16, 4096, whole=True)
        check_number("processes", self.processes, 1, 4096, whole=True)
        check_number("output", self.output, 256, 2**30, whole=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """What came of a program."""

    status: int  # its exit status; negative: the signal that ended it
    stdout: str
    stderr: str
    seconds: float  # of wall time
    processor_seconds: float
    peak_memory: int  # bytes that were resident at most
    timed_out: bool  # stopped at the limit of wall time
    verdict: str  # what it wrote to its third output, which only the harness knows
    held: Mapping[str, str]  # what it was kept from, and by what
    missing: Mapping[str, str]  # what it could not be kept from on this machine, and why
    limits: Limits
    cut: int = 0  # bytes of output that were not kept

    @property
    def over(self) -> str | None:
        """The limit that stopped it, in words; None where none did."""
        limits = self.limits
        if self.timed_out:
            return f"it ran longer than {limits.seconds:g} s"
        if self.status == -XCPU or (self.status == -KILLED and self.processor_seconds >= limits.processor_seconds):
            return f"it took more than {limits.processor_seconds} s of processor time"
        if self.status != 0 and self.stderr.rstrip().rpartition("\n")[2].startswith("MemoryError"):
            return f"it took more than {limits.memory // MIB} MiB of memory"
        return None
