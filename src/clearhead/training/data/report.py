"""What became of the data: how much was read, kept and dropped, why, with the first places, and which files it was."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

EXAMPLES = 3  # of each reason and source that are kept
ROWS_OF = "rows of "  # begins the name under which examples are counted once they are token ids


@dataclass(slots=True, kw_only=True)
class Drops:
    """Records of one source dropped for one reason."""

    count: int = 0
    examples: list[str] = field(default_factory=list)  # "file:line: what is wrong", the first few


@dataclass(slots=True, kw_only=True)
class Tally:
    """One source. What is repeated is counted once."""

    read: int = 0
    kept: int = 0
    repeat: int = 1
    drops: dict[str, Drops] = field(default_factory=dict)

    def drop(self, reason: str, example: str) -> None:
        """Count a record that is left out."""
        drops = self.drops.setdefault(reason, Drops())
        drops.count += 1
        if len(drops.examples) < EXAMPLES:
            drops.examples.append(example)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDigest:
    """A file that was read; no digest where reading ended before it did."""

    sha256: str | None
    bytes: int


class Report:
    """Counts by source and by reason, in the order of the recipe and of the alphabet."""

    def __init__(self) -> None:
        self.sources: dict[str, Tally] = {}
        self.files: dict[str, FileDigest] = {}

    def of(self, source: str) -> Tally:
        """The counts of one source."""
        return self.sources.setdefault(source, Tally())

    def file(self, path: Path, sha256: str | None, size: int) -> None:
        """Note a file that was read; a digest once known stays."""
        if sha256 is not None or str(path) not in self.files:
            self.files[str(path)] = FileDigest(sha256=sha256, bytes=size)

    def add(self, other: "Report") -> None:
        """Count also what another report has counted."""
        for name, more in other.sources.items():
            tally = self.of(name)
            tally.read += more.read
            tally.kept += more.kept
            tally.repeat = max(tally.repeat, more.repeat)
            for reason, drops in more.drops.items():
                mine = tally.drops.setdefault(reason, Drops())
                mine.count += drops.count
                mine.examples += drops.examples[: EXAMPLES - len(mine.examples)]
        for path, file in other.files.items():
            self.file(Path(path), file.sha256, file.bytes)

    @property
    def kept(self) -> int:
        """Records kept of all sources, each repetition counted."""
        return sum(tally.kept * tally.repeat for tally in self.sources.values())

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        return {
            "sources": {
                name: {
                    "read": tally.read,
                    "kept": tally.kept,
                    "repeat": tally.repeat,
                    "dropped": {
                        reason: {"count": drops.count, "examples": list(drops.examples)}
                        for reason, drops in sorted(tally.drops.items())
                    },
                }
                for name, tally in self.sources.items()
            },
            "files": {path: {"sha256": f.sha256, "bytes": f.bytes} for path, f in sorted(self.files.items())},
        }

    def json(self) -> str:
        """The report as JSON; equal data gives equal text."""
        return json.dumps(self.as_dict(), ensure_ascii=False, indent=2)

    def table(self) -> "Table":
        """The report for a terminal."""
        from rich.table import Table
        from rich.text import Text

        table = Table("source", box=None, pad_edge=False)
        for name in ("read", "kept", "dropped"):
            table.add_column(name, justify="right")
        table.add_column("why, and the first of them")
        for source, *counts, why in self.lines():
            table.add_row(Text(source, overflow="fold"), *counts, Text(why, overflow="ellipsis"))
        return table

    def lines(self) -> Iterator[tuple[str, str, str, str, str]]:
        """Rows of the table: source, how much was read, kept and dropped, and why; files first, then what became of
        their records as the rows that are learnt from."""
        for name, tally in sorted(self.sources.items(), key=lambda item: item[0].startswith(ROWS_OF)):
            times = f"each {tally.repeat} times" if tally.repeat > 1 else ""
            yield name, f"{tally.read:,}", f"{tally.kept:,}", "", times
            for reason, drops in sorted(tally.drops.items()):
                yield "", "", "", f"{drops.count:,}", f"{reason}: {drops.examples[0]}"


def parsed(text: str) -> Report:
    """A report from what its `json` gave."""
    raw = json.loads(text)
    report = Report()
    for name, counts in raw["sources"].items():
        drops = {reason: Drops(**found) for reason, found in counts.pop("dropped").items()}
        report.sources[name] = Tally(**counts, drops=drops)
    report.files = {path: FileDigest(**file) for path, file in raw["files"].items()}
    return report
