"""This machine: what it is, and what it can do at best."""

import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.contest import Peaks
from benchmarks.run import Say

SOURCE = Path(__file__).with_name("peaks.cpp")


def processor() -> str:
    """Its name, as the system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = (line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line)
        return next(names, platform.machine())
    return platform.processor() or platform.machine()


def description() -> str:
    """One line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = processor(), f"{os.cpu_count()} cores", f"{memory:.0f} GiB", platform.system()
    return ", ".join([*parts, f"Python {platform.python_version()}"])


class Limits:
    """Bytes and operations per second at best: of all times they were measured, since others may use the machine, too.

    They stay empty without a compiler.
    """

    def __init__(self, threads: int, say: Say) -> None:
        self.threads, self.peaks = threads, Peaks()
        self.folder = tempfile.TemporaryDirectory()
        self.program = self.compiled(say)

    def compiled(self, say: Say) -> Path | None:
        """The program that measures, made for this machine."""
        compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
        if compiler is None:
            say("no C++ compiler: the limits of this machine are not measured")
            return None
        program = Path(self.folder.name) / "peaks"
        options = ["-std=c++20", "-O3", "-march=native", "-pthread", str(SOURCE), "-o", str(program)]
        built = subprocess.run([compiler, *options], capture_output=True, text=True, check=False)
        if built.returncode:
            say(f"{SOURCE.name} does not compile here: {built.stderr.strip().splitlines()[0]}")
            return None
        return program

    def measure(self) -> Peaks:
        """Once more; the best so far."""
        if self.program is not None:
            command = [str(self.program), str(self.threads)]
            lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
            for name, best in map(parse, lines):
                self.peaks[name] = max(best, self.peaks.get(name, 0.0))
        return self.peaks


def parse(line: str) -> tuple[str, float]:
    """Name and best value of `int8 on tiles 1.5e13 1.4e13`."""
    name, best, _ = line.rsplit(" ", 2)
    return name, float(best)


def peaks_line(peaks: Peaks) -> str:
    """One line."""
    parts = [f"{'memory read' if name == 'read' else name} {in_units(name, peak)}" for name, peak in peaks.items()]
    return ", ".join(parts) or "not measured"


def in_units(name: str, peak: float) -> str:
    """As people say it."""
    return f"{peak / 1e9:.1f} GB/s" if name == "read" else f"{peak / 1e12:.2f} T operations/s"
