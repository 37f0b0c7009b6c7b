"""Run a program in the sandbox, and come back with what it said and what it was kept from."""

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import clearhead
from clearhead.errors import OptionError, UnsupportedError
from clearhead.tasks.code.sandbox.limits import Limits, Ran

PACKAGES = str(Path(clearhead.__file__).parents[1])
START = f"import sys; sys.path.append({PACKAGES!r}); from clearhead.tasks.code.sandbox.inside import main; main()"
DEFAULT = Limits()
GRACE = 5.0  # seconds beyond a program's limit for the processes around it to start and to end


def run(
    files: Mapping[str, str],
    script: str,
    *,
    secret: str = "",
    limits: Limits = DEFAULT,
    unconfined: bool = False,
) -> Ran:
    """Run Python file `script` of `files` (name: text) in an empty folder of their own, which is removed afterwards.

    The program sees Python's standard library, none of the packages of this environment and no variable of it. The
    first line of its standard input is `secret`, the rest is empty. `unconfined` runs it even where the network or
    writing outside its folder cannot be cut off.

    Raises:
        UnsupportedError: they cannot be cut off here, or this system has no such limits at all.
        OptionError: a file name with a folder in it.
    """
    if os.name != "posix":
        raise UnsupportedError(f"programs cannot be shut in on {sys.platform}; run the tests on Linux")
    if wrong := [name for name in files if Path(name).name != name]:
        raise OptionError(f"{wrong[0]!r} is no plain file name")
    work = Path(tempfile.mkdtemp(prefix="clearhead-")).resolve()
    try:
        return started(plan(files, script, secret, limits, work, unconfined=unconfined), limits)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def plan(
    files: Mapping[str, str], script: str, secret: str, limits: Limits, work: Path, *, unconfined: bool
) -> dict[str, Any]:
    """What `inside` is to do."""
    python = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    environment = {"HOME": str(work), "TMPDIR": str(work), "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "PATH": os.defpath}
    return {
        "files": dict(files),
        "command": [python, "-s", "-S", "-P", "-B", "-X", "utf8", script],
        "environment": environment,
        "readable": [python, str(Path(os.__file__).resolve().parent), f"{sys.base_exec_prefix}/lib"],
        "secret": secret,
        "work": str(work),
        "unconfined": unconfined,
        "disk": limits.disk,
        "processor_seconds": limits.processor_seconds,
        "memory": limits.memory,
        "file_size": limits.file_size,
        "open_files": limits.open_files,
        "processes": limits.processes,
    }


@dataclass(slots=True)
class Kept:
    """The beginning and the end of a stream, at most `limit` bytes."""

    limit: int
    head: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)
    total: int = 0

    def add(self, data: bytes) -> None:
        """More of it."""
        self.total += len(data)
        half = self.limit // 2
        room = half - len(self.head)
        self.head += data[: max(0, room)]
        self.tail = (self.tail + data[max(0, room) :])[-(self.limit - half) :]

    @property
    def cut(self) -> int:
        """Bytes that were not kept."""
        return self.total - len(self.head) - len(self.tail)

    @property
    def text(self) -> str:
        """As text, with a note where something is left out."""
        gap = f"\n[{self.cut} bytes left out]\n".encode() if self.cut else b""
        return bytes(self.head + gap + self.tail).decode("utf-8", "replace")


def started(what: dict[str, Any], limits: Limits) -> Ran:
    """Start `inside`, see the program through, and leave nothing of it."""
    reading, writing = os.pipe()
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", "-c", START],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[writing],
        env={},
        cwd="/",
        start_new_session=True,
    )
    os.close(writing)
    try:
        with os.fdopen(reading, "rb", buffering=0) as report:
            seen = watch(process, report, json.dumps({**what, "report": writing}).encode(), limits, begun)
    finally:
        bury(process)
    return outcome(seen, limits, time.monotonic() - begun)


@dataclass(slots=True)
class Seen:
    """What came out of a sandbox."""

    stdout: Kept
    stderr: Kept
    report: Kept
    timed_out: bool = False


def watch(process: subprocess.Popen[bytes], report: IO[bytes], plan_text: bytes, limits: Limits, begun: float) -> Seen:
    """Read all that comes until it has ended or its time is over.

    The limit of time begins with the program itself, when the first line of the report is there.
    """
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    seen = Seen(Kept(limits.output), Kept(limits.output), Kept(2**20))
    with suppress(BrokenPipeError):
        process.stdin.write(plan_text)
        process.stdin.close()
    deadline = begun + limits.seconds + GRACE
    running = False
    with selectors.DefaultSelector() as selector:
        for stream, kept in ((process.stdout, seen.stdout), (process.stderr, seen.stderr), (report, seen.report)):
            selector.register(stream, selectors.EVENT_READ, kept)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0 and seen.timed_out:
                break
            if left <= 0:  # what is left of it ends now; with the last of it, the pipes end
                seen.timed_out, deadline = True, time.monotonic() + GRACE
                stop(process)
                continue
            for key, _events in selector.select(left):
                data = os.read(key.fd, 65536)
                if data:
                    key.data.add(data)
                else:
                    selector.unregister(key.fileobj)
            if not running and seen.report.total:
                running, deadline = True, time.monotonic() + limits.seconds
    return seen


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process with all of its session; its namespaces end with it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def bury(process: subprocess.Popen[bytes]) -> None:
    """See that nothing of a process is left."""
    if process.returncode is None:
        stop(process)
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def outcome(seen: Seen, limits: Limits, seconds: float) -> Ran:
    """The report and the outputs as one.

    Raises:
        UnsupportedError: the program was not begun.
    """
    said: dict[str, Any] = {}
    for line in seen.report.text.splitlines():
        said |= json.loads(line)
    missing = said.get("missing", {})
    if "refused" in said:
        reasons = "; ".join(f"{what}: {missing.get(what, 'unknown')}" for what in said["refused"])
        raise UnsupportedError(
            f"a program cannot be kept from the network and from other files on this machine ({reasons}); run the "
            "tests elsewhere, or accept that with --unconfined"
        )
    if "error" in said or ("held" not in said and not seen.timed_out):
        raise UnsupportedError(f"the sandbox did not start: {said.get('error') or seen.stderr.text.strip()[-300:]}")
    return Ran(
        status=said.get("status", -int(signal.SIGKILL)),
        stdout=seen.stdout.text,
        stderr=seen.stderr.text,
        seconds=seconds,
        processor_seconds=said.get("processor_seconds", 0.0),
        peak_memory=said.get("peak_memory", 0),
        timed_out=seen.timed_out,
        verdict=said.get("verdict", ""),
        held=said.get("held", {}),
        missing=missing,
        limits=limits,
        cut=seen.stdout.cut + seen.stderr.cut,
    )
