"""Engines as processes: one computes while the others are stopped, so that none disturbs another."""

import json
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.contest import Entry, Facts

ROOT = Path(__file__).parents[1]
STOPPABLE = hasattr(signal, "SIGSTOP")
PATIENCE = 5  # seconds for an engine to end


class EngineError(Exception):
    """One line: why an engine gives no figure."""


def command(python: str, entry: Entry, model: str, threads: int) -> list[str]:
    """That starts a worker."""
    settings = {"model": model, "threads": threads, **entry.settings}
    return [python, "-m", "benchmarks.worker", entry.engine, json.dumps(settings)]


class Worker:
    """One engine in its process, stopped except while it is asked.

    Raises:
        EngineError: it cannot be loaded.
    """

    def __init__(self, label: str, arguments: list[str]) -> None:
        self.label = label
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  open as long as the process runs
        self.process: Any = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, cwd=ROOT
        )
        try:
            self.facts: Facts = self.reply()["facts"]
        except EngineError:
            self.close()
            raise
        self.rest()

    def ask(self, question: dict[str, Any]) -> Any:
        """The answer to one question.

        Raises:
            EngineError: the engine failed, or its process ended.
        """
        self.wake()
        try:
            with suppress(BrokenPipeError):  # no reply will come then, either
                self.process.stdin.write(json.dumps(question) + "\n")
                self.process.stdin.flush()
            return self.reply()["value"]
        finally:
            self.rest()

    def reply(self) -> dict[str, Any]:
        """The next line."""
        line = self.process.stdout.readline()
        if not line:
            raise EngineError(f"{self.label} ended with status {self.process.wait()}: {self.last_words()}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise EngineError(f"{self.label}: {reply['error']}")
        return reply

    def last_words(self) -> str:
        """The last line of its standard error."""
        self.errors.seek(0)
        return (self.errors.read().strip().splitlines() or ["no message"])[-1]

    def rest(self) -> None:
        """Stop."""
        if STOPPABLE:
            self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Go on."""
        if STOPPABLE:
            self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End."""
        self.wake()
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()


class Cold:
    """An engine that is started for every question."""

    def __init__(self, label: str, arguments: list[str]) -> None:
        self.label, self.arguments = label, arguments
        worker = Worker(label, arguments)
        self.facts = worker.facts
        worker.close()

    def ask(self, question: dict[str, Any]) -> float:
        """Seconds from the start of the process to its first line."""
        start = time.perf_counter()
        pipe = subprocess.PIPE
        with subprocess.Popen(
            [*self.arguments, question["prompt"]], stdout=pipe, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
        ) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            seconds = time.perf_counter() - start
        if "value" not in line:
            raise EngineError(f"{self.label} gave no first piece: {line.strip()}")
        return seconds

    def close(self) -> None:
        """Nothing runs."""
