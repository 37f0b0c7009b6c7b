"""What is measured: the same work asked of several engines in turn."""

from dataclasses import dataclass, field
from typing import Any, Literal

Facts = dict[str, Any]
Peaks = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An engine with a model. A model with a slash is a file below the cache folder, else a name that Clearhead knows.

    `asked` replaces the contest's question, or parts of it, for this engine.
    """

    label: str
    engine: str
    model: str
    settings: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one unit of a contest takes from a limit of the machine: `times` one of the facts that Clearhead knows."""

    fact: Literal["weight_bytes", "layer_parameters", "step_parameters"]
    times: float = 1.0

    @property
    def limit(self) -> str:
        """The heading of its column."""
        return "of reading" if self.fact == "weight_bytes" else "of arithmetic"

    def share(self, rate: float, facts: Facts, peaks: Peaks) -> float | None:
        """Of the measured limit, from 0 to 1; None where the limit is not known. A parameter is two operations."""
        if self.fact not in facts:
            return None
        if self.fact == "weight_bytes":
            peak, amount = peaks.get("read"), self.times
        else:
            arithmetic = facts["arithmetic"]
            peak, amount = peaks.get(f"{arithmetic} on tiles", peaks.get(arithmetic)), 2 * self.times
        return None if not peak else amount * facts[self.fact] * rate / peak


@dataclass(frozen=True, kw_only=True)
class Held:
    """Peak memory in MB beside what cannot be done without: the weights, and keys and values of so many positions."""

    positions: int
    limit: str = "of weights and cache"

    def share(self, megabytes: float, facts: Facts, peaks: Peaks) -> float | None:
        """Without what the process held before it loaded the model: the interpreter and the libraries."""
        if "weight_bytes" not in facts:
            return None
        needed = facts["weight_bytes"] + self.positions * facts["position_bytes"]
        return float((megabytes * 1e6 - facts["bytes_before"]) / needed)


@dataclass(frozen=True, kw_only=True)
class Contest:
    """One table. The first entry is the one the others are compared with; a `cold` one starts a process every time.

    `same` is asked once, for an answer about which engines with the same weights should agree. `warm` is asked once
    before the rounds, instead of the question itself.
    """

    work: str
    title: str
    unit: str
    ask: dict[str, Any]
    entries: tuple[Entry, ...]
    costs: tuple[Cost | Held, ...] = ()
    cold: bool = False
    same: dict[str, Any] | None = None
    warm: dict[str, Any] | None = None

    @property
    def smaller_is_better(self) -> bool:
        """Of times and sizes."""
        return self.unit in ("s", "MB", "%")
