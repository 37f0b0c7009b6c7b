"""A batch of a few rows through a task that shouts, killed at any step that touches the disk or computes a row."""

import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from clearhead.errors import OptionError
from clearhead.tasks.batch import tasks
from clearhead.tasks.batch.found import Fields
from clearhead.tasks.batch.run import Outcome, run
from clearhead.tasks.batch.tasks import Opened, Task, Wish

BAD = "bad"  # a text that the task refuses
LOUD = {"loud": ""}  # what its results have


def shout(wish: Wish, step: Callable[[], None] = lambda: None) -> Opened:
    """The task: texts in capitals; a whole call fails where a text in it is BAD."""

    def each(texts: Sequence[str]) -> Iterator[Fields]:
        if BAD in texts:
            raise OptionError("this text is bad")
        for text in texts:
            step()
            yield {"loud": text.upper()}

    return Opened("shouter", each)


def write_rows(path: Path, count: int, bad: Sequence[int] = (), first: int = 0) -> Path:
    """JSON Lines with an id and a text each."""
    rows = ({"id": first + i, "text": BAD if i in bad else f"row {first + i}"} for i in range(count))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def work(
    inputs: Sequence[Path | str], output: Path, part: int = 3, model: str | None = None, **options: Any
) -> Outcome:
    """Shout at every row."""
    return run(Wish(task="shout", model=model), [str(path) for path in inputs], output, part=part, **options)


def results(output: Path) -> list[dict[str, Any]]:
    """What the parts hold, in their order."""
    return [json.loads(line) for path in sorted(output.glob("part-*.jsonl")) for line in path.open(encoding="utf-8")]


def failures(output: Path) -> list[dict[str, Any]]:
    """What failed."""
    path = output / "failed.jsonl"
    return [json.loads(line) for line in path.open(encoding="utf-8")] if path.exists() else []


def whys(output: Path) -> list[dict[str, str]]:
    """Why it failed, and where it stood."""
    return [row["failure"] for row in failures(output)]


def killed(inputs: Sequence[Path], output: Path, at: int) -> bool:
    """Do the work in a process that is killed at its step number `at`; False where it had fewer and came to its end."""
    child = os.fork()
    if child == 0:
        steps = Steps(at)
        tasks.TASKS["shout"] = Task(lambda wish: shout(wish, steps), LOUD)  # type: ignore[index]
        os.fsync = steps.before(os.fsync)
        Path.replace = steps.before(Path.replace)  # type: ignore[method-assign]
        Path.unlink = steps.before(Path.unlink)  # type: ignore[method-assign]
        Path.mkdir = steps.before(Path.mkdir)  # type: ignore[method-assign]
        try:
            work(inputs, output)
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.WIFSIGNALED(status)


class Steps:
    """Counts steps, and kills its own process at one of them."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, a step."""

        def stepped(*args: Any, **options: Any) -> Any:
            self()
            return function(*args, **options)

        return stepped
