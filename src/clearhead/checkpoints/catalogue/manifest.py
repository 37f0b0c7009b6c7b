"""The note kept with every pulled model: which files, from where, under which licence."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from clearhead.checkpoints.catalogue.entries import File

MANIFEST = "manifest.json"
LARGEST = 2**20  # bytes; the longest list of files is far shorter


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What was pulled. `folder` is set where the files lie outside the model's own folder; `pulled` is in UTC."""

    name: str
    source: str
    licence: str
    licence_from: str
    files: tuple[File, ...]
    folder: str | None = None
    pulled: str = ""


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Leave the note in `folder`, stamped with the time."""
    stamped = {**asdict(manifest), "pulled": datetime.now(UTC).isoformat(timespec="seconds")}
    (folder / MANIFEST).write_text(json.dumps(stamped, indent=1) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest | None:
    """The note in `folder`, or None where none makes sense; then the model counts as not pulled."""
    path = folder / MANIFEST
    try:
        if path.stat().st_size > LARGEST:
            return None
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        files = tuple(File(**file) for file in raw.pop("files"))
        manifest = Manifest(files=files, **raw)
        sound = bool(files) and all(is_inside(file.path) for file in files)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return manifest if sound else None


def is_inside(path: str) -> bool:
    """Whether a file's path, written with `/`, stays in the folder it starts from."""
    parts = PurePosixPath(path).parts
    climbs = ".." in parts or path.startswith("/") or "\\" in path or ":" in path
    return bool(parts) and not climbs
