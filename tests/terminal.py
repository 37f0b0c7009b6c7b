"""The command line as tests run it: in this process, and on a terminal of its own."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from clearhead.cli.app import app

COMMAND = [sys.executable, "-m", "clearhead"]


def invoke(*args: str | Path, **options: Any) -> Result:
    """Run one verb in this process; standard output and error are pipes."""
    return CliRunner().invoke(app, [str(arg) for arg in args], **options)


def fails(*args: str | Path, **options: Any) -> str:
    """Run a verb that is asked for the impossible: one line on standard error, status 2, nothing else. The line."""
    result = invoke(*args, **options)
    assert result.exit_code == 2, (result.stderr, result.exception)
    assert result.stdout == ""
    assert result.stderr.startswith("clearhead: error: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    return result.stderr.removeprefix("clearhead: error: ").rstrip("\n")


def separate(*args: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run one verb in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **options.pop("env", {})}
    command = [*COMMAND, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False, **options)


def on_terminal(
    args: list[str | Path], script: Sequence[tuple[str, str]] = (), env: dict[str, str] | None = None
) -> tuple[str, int]:
    """Run one verb on a terminal. Each step of the script waits for a text and then types another.

    Returns everything that was shown, and the exit status.
    """
    pid, fd = pty.fork()
    if pid == 0:
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "OMP_NUM_THREADS": "1", **(env or {})}
        os.execve(sys.executable, [*COMMAND, *map(str, args)], environment)
    steps, shown, seen, deadline = list(script), b"", 0, time.monotonic() + 60
    while time.monotonic() < deadline and (chunk := read_some(fd)) is not None:
        shown += chunk
        if steps and (at := shown.find(steps[0][0].encode(), seen)) >= 0:
            seen = at + len(steps[0][0].encode())
            time.sleep(0.1)  # no hand is faster, and readline misses a signal that comes before it waits for keys
            os.write(fd, steps.pop(0)[1].encode())
    if time.monotonic() >= deadline:
        os.kill(pid, signal.SIGKILL)
    os.close(fd)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return shown.decode().replace("\r\n", "\n"), status


def read_some(fd: int) -> bytes | None:
    """What is there to read within a moment; None once the other side has gone."""
    if not select.select([fd], [], [], 0.1)[0]:
        return b""
    try:
        return os.read(fd, 65536) or None
    except OSError:  # Linux reports the end of a terminal so
        return None
