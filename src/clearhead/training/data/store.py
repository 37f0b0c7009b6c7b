"""Token ids of a whole data set, in two flat arrays a field: rows one after the other, and where each begins.

Such arrays are files that are mapped, not read: a data set may be larger than memory, and processes share it.

N rows, M ids of all rows together.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearhead.checkpoints.export import new_folder
from clearhead.training.data.report import Report, parsed

Ids = NDArray[np.int32]
Integers = NDArray[np.int64]
REPORT = "report.json"  # what became of the records that the rows were made of


@dataclass(frozen=True, slots=True)
class Ragged:
    """N rows of ids: row i is `flat[starts[i]:starts[i + 1]]`."""

    flat: Ids  # [M]
    starts: Integers  # [N + 1]

    @classmethod
    def of(cls, rows: Iterable[Sequence[int]]) -> "Ragged":
        """Rows that fit in memory."""
        kept = [np.asarray(row, dtype=np.int32) for row in rows]
        flat = np.concatenate(kept) if kept else np.zeros(0, dtype=np.int32)
        return cls(flat, np.cumsum([0, *map(len, kept)], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, row: int) -> Ids:
        return self.flat[self.starts[row] : self.starts[row + 1]]

    @property
    def lengths(self) -> Integers:
        """[N]: ids of each row."""
        return np.diff(self.starts)


Examples = Mapping[str, Ragged]  # by field ("source", "target"): the same number of rows in each


def write(
    folder: Path,
    rows: Iterable[Mapping[str, Sequence[int]]],
    about: Mapping[str, Any],
    report: Report | None = None,
) -> None:
    """Put rows, as they come, into files of a new folder, which appears when all are there. `report` counts what they
    were made of meanwhile, and is kept beside them.

    Raises:
        OSError: no room; nothing is left behind.
    """
    with new_folder(folder) as draft:
        files: dict[str, Any] = {}
        starts: dict[str, list[int]] = {}
        try:
            for row in rows:
                for name, ids in row.items():
                    if name not in files:
                        files[name], starts[name] = (draft / f"{name}.ids").open("wb"), [0]
                    np.asarray(ids, dtype=np.int32).tofile(files[name])
                    starts[name].append(starts[name][-1] + len(ids))
        finally:
            for file in files.values():
                file.close()
        for name, places in starts.items():
            np.save(draft / f"{name}.starts.npy", np.array(places, dtype=np.int64))
        if report is not None:
            (draft / REPORT).write_text(report.json(), encoding="utf-8")
        (draft / "about.json").write_text(json.dumps({**about, "fields": list(files)}, indent=2), encoding="utf-8")


def read(folder: Path) -> Examples:
    """The rows of a folder, mapped."""
    fields = json.loads((folder / "about.json").read_text(encoding="utf-8"))["fields"]
    return {name: mapped(folder, name) for name in fields}


def read_report(folder: Path) -> Report | None:
    """What was counted while the rows of a folder were made; None where that was not kept."""
    path = folder / REPORT
    return parsed(path.read_text(encoding="utf-8")) if path.is_file() else None


def mapped(folder: Path, name: str) -> Ragged:
    """One field; a file of no bytes cannot be mapped."""
    starts = np.load(folder / f"{name}.starts.npy", mmap_mode="r", allow_pickle=False)
    flat = np.memmap(folder / f"{name}.ids", dtype=np.int32, mode="r") if starts[-1] else np.zeros(0, dtype=np.int32)
    return Ragged(flat, starts)
