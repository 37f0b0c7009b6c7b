"""What an engine can be asked, in a process of its own. Every figure is a number per second of the engine's own clock.

B rows of a batch, T tokens.
"""

import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

Rows = list[list[int]]
IDS = 30_000  # token ids stay below every model's vocabulary


class Engine:
    """One model, loaded. Engines that decode step by step give `begin` and `feed`; others answer the questions."""

    package: ClassVar[str]

    def __init__(self, model: str, threads: int) -> None:
        self.model, self.threads = model, threads

    def facts(self) -> dict[str, Any]:
        """Its version, and what the figures are held against."""
        return {"version": f"{self.package} {version(self.package)}"}

    def begin(self, rows: int, capacity: int) -> None:
        """Forget everything; be ready for so many rows of so many tokens."""
        raise NotImplementedError

    def feed(self, tokens: Rows) -> None:
        """Take in T new tokens for each of B rows; compute the logits after the last of each."""
        raise NotImplementedError

    def decode(self, batch: int = 1, prompt: int = 64, new: int = 48) -> float:
        """Tokens per second after a prompt, of all rows together."""
        self.begin(batch, prompt + new)
        self.feed([ids(prompt, row) for row in range(batch)])

        def steps() -> None:
            for step in range(new):
                self.feed([[step + row] for row in range(batch)])

        return batch * new / timed(steps)

    def prefill(self, tokens: int = 512) -> float:
        """Tokens of a prompt read per second."""
        self.begin(1, tokens)
        prompt = [ids(tokens)]
        return tokens / timed(lambda: self.feed(prompt))

    def likeliest(self) -> int:
        """The token with the largest of the logits that the last `feed` of one row computed."""
        raise NotImplementedError

    def greedy(self, prompt: list[int], new: int) -> list[int]:
        """The likeliest tokens after a prompt: what engines with the same weights should agree about, for a while."""
        self.begin(1, len(prompt) + new)
        self.feed([prompt])
        tokens = [self.likeliest()]
        while len(tokens) < new:
            self.feed([tokens[-1:]])
            tokens.append(self.likeliest())
        return tokens

    def state(self, tokens: list[int]) -> list[float]:
        """[C] of an encoder, of the first token of a text."""
        raise NotImplementedError

    def translation(self, beams: int, new: int) -> list[int]:
        """The tokens of the first source's translation."""
        raise NotImplementedError

    def encode(self, batch: int = 32, tokens: int = 128) -> float:
        """Texts per second through an encoder, all states given back."""
        raise NotImplementedError

    def translate(self, beams: int = 1, new: int = 0) -> float:
        """Tokens per second of the translations of the sources beside the model; exactly `new` each, unless 0."""
        raise NotImplementedError

    def peak(self) -> float:
        """The most memory this process has held, in MB, after 128 tokens of one row."""
        self.decode(1, 64, 64)
        return peak_bytes() / 1e6

    def first(self, prompt: str) -> None:
        """Return with the first piece of the answer to a prompt."""
        raise NotImplementedError


def ids(count: int, row: int = 0) -> list[int]:
    """Tokens of a text without sense: no speed here depends on which they are."""
    return [(7919 * i + 104_729 * row) % IDS for i in range(count)]


def peak_bytes() -> int:
    """The most memory this process has held."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS, in bytes


def timed(work: Callable[[], Any]) -> float:
    """Seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
