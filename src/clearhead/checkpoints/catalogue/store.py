"""The cache on disk: a model is visible whole, or not at all.

    <cache>/models/<key>/            a pulled model: its files beside manifest.json (or the manifest alone, for files
                                     that lie in the Hugging Face cache)
    <cache>/partial/<key>/           what is being put together; kept after an interruption, to go on from
    <cache>/partial/<key>.archives/  archives on their way
    <cache>/locks/<key>.lock         held by the process that fetches

A model is built under `partial`, checked, flushed to the disk and renamed into `models` in one step, so whatever stops
the process leaves `models` as it was. <cache> is CLEARHEAD_CACHE, else `clearhead` under XDG_CACHE_HOME or ~/.cache.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clearhead.checkpoints.catalogue.disk import flush_to_disk, size_of
from clearhead.checkpoints.catalogue.entries import Entry
from clearhead.checkpoints.catalogue.manifest import Manifest, read_manifest, write_manifest
from clearhead.checkpoints.catalogue.names import HubName
from clearhead.checkpoints.catalogue.progress import Progress
from clearhead.errors import DownloadError


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulled:
    """A model in the cache, with all its files there in their full size."""

    key: str
    manifest: Manifest
    folder: Path

    @property
    def path(self) -> Path:
        """What a reader opens: the file itself where there is one, else the folder."""
        files = self.manifest.files
        return self.folder / files[0].path if len(files) == 1 else self.folder


def cache_root() -> Path:
    """The folder of Clearhead's cache, which may not exist yet."""
    if chosen := os.environ.get("CLEARHEAD_CACHE"):
        return Path(chosen).expanduser().absolute()
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "clearhead"  # XDG: a relative one is void


def key_of(model: Entry | HubName) -> str:
    """The model's folder name in the cache. `--`, which no catalogue name holds, marks a model of the Hub."""
    if isinstance(model, Entry):
        return model.name
    digest = hashlib.sha256(str(model).encode()).hexdigest()[:12]  # a revision or a file may hold slashes
    return f"{model.owner}--{model.name}--{digest}"


def models_folder() -> Path:
    """Where finished models lie."""
    return cache_root() / "models"


def staging_folder(key: str) -> Path:
    """Where a model is put together."""
    return cache_root() / "partial" / key


def archives_folder(key: str) -> Path:
    """Where the archives that carry a model's files are fetched to."""
    return cache_root() / "partial" / f"{key}.archives"


def find_pulled(key: str) -> Pulled | None:
    """The model under `key`, if its manifest makes sense and every file is there in its full size."""
    home = models_folder() / key
    manifest = read_manifest(home)
    if manifest is None:
        return None
    folder = Path(manifest.folder) if manifest.folder else home
    whole = all(size_of(folder / file.path) == file.size for file in manifest.files)
    return Pulled(key=key, manifest=manifest, folder=folder) if whole else None


def all_pulled() -> list[Pulled]:
    """Every finished model."""
    folder = models_folder()
    keys = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [pulled for key in keys if (pulled := find_pulled(key))]


def publish(key: str, manifest: Manifest) -> Pulled:
    """Make the checked files under `partial` the model `key`; an older one of that key gives way."""
    staging, home = staging_folder(key), models_folder() / key
    staging.mkdir(parents=True, exist_ok=True)
    write_manifest(manifest, staging)
    for path in (*staging.rglob("*"), staging):
        flush_to_disk(path)
    home.parent.mkdir(parents=True, exist_ok=True)
    discard_model(key)
    os.replace(staging, home)
    flush_to_disk(home.parent)
    pulled = find_pulled(key)
    if pulled is None:
        raise DownloadError(f"{manifest.name}: its files in {home} were changed while they were put in place; pull again")
    return pulled


def discard_model(key: str) -> None:
    """Take a finished model away; in one step out of sight, so that no half of it is ever seen."""
    home, doomed = models_folder() / key, cache_root() / "partial" / f"{key}.removed"
    shutil.rmtree(doomed, ignore_errors=True)  # left by a process that was killed here
    if home.exists():
        doomed.parent.mkdir(parents=True, exist_ok=True)
        os.replace(home, doomed)
        shutil.rmtree(doomed)


def discard_unfinished(key: str) -> None:
    """Take away what an interrupted pull left."""
    for folder in (staging_folder(key), archives_folder(key)):
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def lock(key: str, progress: Progress) -> Iterator[None]:
    """Be the only process that changes `key`; wait while another one does."""
    from filelock import FileLock, Timeout

    path = cache_root() / "locks" / f"{key}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(path)
    try:
        held.acquire(timeout=0)
    except Timeout:
        progress.begin(f"waiting for another process that works on {key}", 0)
        held.acquire()
    try:
        yield
    finally:
        held.release()
