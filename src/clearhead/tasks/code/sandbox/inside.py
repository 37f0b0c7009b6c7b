"""The inside of the sandbox: a process that shuts itself in, and only then becomes the program.

Three processes follow each other. The first enters namespaces of its own. The second is the first process of them: it
makes the files, waits for the program, and with its end the kernel ends whatever the program left behind. The third
gives up all that it can and becomes the program.

It is started by `run` with a plan on standard input and reports on a pipe, a JSON object a line. Standard library only,
and nothing of Clearhead but its neighbours: it starts in a moment, and in an empty environment.
"""

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from clearhead.tasks.code.sandbox import landlock, namespaces, seccomp

VERDICT = 3  # the file descriptor of a program's third output
LONGEST = 65536  # bytes of it, at most: what a pipe holds
REFUSED = 125  # exit status where a program was not begun
NEEDED = ("network", "writing")  # without these a program is begun only where that was asked for
# What an interpreter reads, beside itself.
SYSTEM = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/local/lib", "/nix/store", "/usr/share/zoneinfo")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/localtime")
RANDOM = ("/dev/random", "/dev/urandom", "/dev/zero")
DEVICES = ("/dev/null", "/dev/full")

Plan = dict[str, Any]  # as `run.plan` makes it


class Report:
    """The pipe to whoever started this, and what is held so far."""

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe
        self.held: dict[str, str] = {}
        self.missing: dict[str, str] = {}

    def note(self, what: str, how: str, failed: str | None) -> None:
        """Something is held, or could not be."""
        if failed is None:
            self.held[what] = f"{self.held[what]}, {how}" if what in self.held else how
            self.missing.pop(what, None)  # what one way could not hold, another does
        elif what not in self.held:
            self.missing[what] = failed

    def send(self, **fields: Any) -> None:
        """A line."""
        os.write(self.pipe, json.dumps(fields).encode() + b"\n")


def main() -> None:
    """Read the plan and carry it out."""
    plan = json.load(sys.stdin.buffer)
    report = Report(plan["report"])
    try:
        begin(plan, report)
    except OSError as error:
        report.send(error=f"{error.strerror or error}")
        os._exit(REFUSED)


def begin(plan: Plan, report: Report) -> None:
    """The first process: namespaces, then the second."""
    if sys.platform != "linux":
        report.note("network", "", "only Linux can cut it off for one process")
        report.note("writing", "", "only Linux can forbid it for one process")
        second(plan, report, apart=False, counted=False)
    starter = os.getppid()
    dropped = namespaces.drop_root(plan["work"])
    namespaces.die_with_parent(starter)
    failed = namespaces.enter()
    report.note("network", "a network namespace without one", failed)
    report.note("other processes", "a process namespace", failed)
    first = os.getpid()
    child = os.fork()
    if child == 0:
        namespaces.die_with_parent(None if failed is None else first)  # from a namespace no parent is seen
        second(plan, report, apart=failed is None, counted=dropped and failed is None)
    os.close(report.pipe)
    _pid, status = os.waitpid(child, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def second(plan: Plan, report: Report, *, apart: bool, counted: bool) -> None:
    """The first process of the namespaces: files, then the program, and what it came to."""
    files_apart = False
    if apart:
        namespaces.hide()
        failed = namespaces.close_files(plan["work"], plan["disk"])
        files_apart = failed is None
        report.note("writing", "mounts that are read-only", failed)
        report.note("disk", f"a file system of {plan['disk']} bytes", failed)
    else:
        report.note("disk", "", "no file system of its own could be made; each file has its limit")
    for name, text in plan["files"].items():
        Path(plan["work"], name).write_text(text, encoding="utf-8")
    secret, verdict = os.pipe(), os.pipe()
    os.set_blocking(verdict[0], False)
    own = os.getpid()
    program = os.fork()
    if program == 0:
        if sys.platform == "linux":
            namespaces.die_with_parent(own)  # without namespaces nothing else ends a program that has left its session
        os.close(secret[1])
        os.dup2(secret[0], 0)
        third(plan, report, verdict[1], apart=apart, files_apart=files_apart, counted=counted)
    os.close(verdict[1])
    os.close(secret[0])
    os.write(secret[1], plan["secret"].encode() + b"\n")
    os.close(secret[1])
    status = wait(program)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    report.send(
        status=status,
        processor_seconds=used.ru_utime + used.ru_stime,
        peak_memory=used.ru_maxrss * 1024,
        verdict=read(verdict[0]),
    )
    os._exit(0)


def wait(program: int) -> int:
    """The program's exit status, once it has ended; its orphans are buried on the way."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == program:
            return os.waitstatus_to_exitcode(status)


def read(pipe: int) -> str:
    """What lies in a pipe."""
    try:
        return os.read(pipe, LONGEST).decode("utf-8", "replace")
    except BlockingIOError:  # something that the program left behind could still write
        return ""


def third(plan: Plan, report: Report, verdict: int, *, apart: bool, files_apart: bool, counted: bool) -> None:
    """Shut this process in, say what holds, and become the program."""
    try:
        os.chdir(plan["work"])
        limit(plan, report, counted=counted)
        if sys.platform == "linux":
            confine(plan, report, apart=apart, files_apart=files_apart, counted=counted)
        lacking = [what for what in NEEDED if what not in report.held]
        if lacking and not plan["unconfined"]:
            report.send(held=report.held, missing=report.missing, refused=lacking)
            os._exit(REFUSED)
        report.send(held=report.held, missing=report.missing)
        os.dup2(verdict, VERDICT)
        os.closerange(VERDICT + 1, 1024)
        os.execve(plan["command"][0], plan["command"], plan["environment"])
    except (OSError, ValueError) as error:
        report.send(error=f"{getattr(error, 'strerror', None) or error}")
        os._exit(REFUSED)


def limit(plan: Plan, report: Report, *, counted: bool) -> None:
    """Limits of the process itself."""
    seconds = plan["processor_seconds"]
    for what, kind, soft, hard in (
        ("processor time", resource.RLIMIT_CPU, seconds, seconds + 1),
        ("memory", resource.RLIMIT_AS, plan["memory"], plan["memory"]),
        ("file size", resource.RLIMIT_FSIZE, plan["file_size"], plan["file_size"]),
        ("open files", resource.RLIMIT_NOFILE, plan["open_files"], plan["open_files"]),
        ("core dumps", resource.RLIMIT_CORE, 0, 0),
    ):
        failed = lowered(kind, soft, hard)
        report.note(what, "a limit of the process", failed)
    if counted:
        most = plan["processes"] + 2  # the two processes around it are counted as well
        report.note(
            "processes", f"at most {plan['processes']}, threads counted", lowered(resource.RLIMIT_NPROC, most, most)
        )
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)


def lowered(kind: int, soft: int, hard: int) -> str | None:
    """Set a limit, no higher than it is; None, or why not."""
    try:
        most = resource.getrlimit(kind)[1]
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)
        resource.setrlimit(kind, (soft, hard))
    except (OSError, ValueError) as error:
        return str(error)
    return None


def confine(plan: Plan, report: Report, *, apart: bool, files_apart: bool, counted: bool) -> None:
    """Files by Landlock, system calls by seccomp."""
    try:
        seccomp.give_up_privileges()
    except OSError as error:
        for what in ("network", "writing", "reading", "processes"):
            report.note(what, "", f"no_new_privs: {error.strerror or error}")
        return
    readable = [*SYSTEM, *SYSTEM_FILES, *RANDOM, *plan["readable"]]
    version, failed = 0, None
    try:
        version = landlock.restrict(readable, [plan["work"]], DEVICES)
    except OSError as error:
        failed = f"Landlock: {error.strerror or error}"
    report.note("writing", "Landlock", failed)
    report.note("reading", "Landlock: the interpreter and the system's libraries alone", failed)
    tables = [seccomp.NETWORK, seccomp.PRIVILEGES, seccomp.UNCOUNTED]
    tables += [] if files_apart else [seccomp.METADATA]
    tables += [] if apart else [seccomp.OTHERS]
    failed = None
    try:
        seccomp.restrict(*tables, processes=counted, parted=apart)
    except OSError as error:
        failed = f"seccomp: {error.strerror or error}"
    report.note("network", "no sockets (seccomp)", failed)
    if not apart:
        report.note("other processes", "no signals (seccomp)", failed)
    if not counted:
        report.note("processes", "none but its own (seccomp)", failed)
    if version >= 6:
        report.note("other processes", "Landlock", None)
