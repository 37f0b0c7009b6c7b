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

from clearhead.checkpoints.catalogue.disk import flush_to_disk, size_of, used_bytes
from clearhead.checkpoints.catalogue.entries import Entry, entries
from clearhead.checkpoints.catalogue.manifest import Manifest, read_manifest, write_manifest
from clearhead.checkpoints.catalogue.names import HubName
from clearhead.checkpoints.catalogue.progress import Progress
from clearhead.errors import DownloadError


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulled:
    """A model in the cache: its manifest, and the folder where its files should be."""

    key: str
    manifest: Manifest
    folder: Path

    @property
    def path(self) -> Path:
        """What a reader opens: the file itself where there is one, else the folder."""
        files = self.manifest.files
        return self.folder / files[0].path if len(files) == 1 else self.folder

    @property
    def is_whole(self) -> bool:
        """Whether every file is there in its full size."""
        return all(size_of(self.folder / file.path) == file.size for file in self.manifest.files)


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
    """What the cache's manifest says of `key`, or None where there is none. What is bundled counts as pulled."""
    entry = entries().get(key)
    if entry and entry.part:
        return Pulled(key=key, manifest=manifest_of(entry, entry.part), folder=entry.part)
    home = models_folder() / key
    manifest = read_manifest(home)
    if manifest is None:
        return None
    return Pulled(key=key, manifest=manifest, folder=Path(manifest.folder) if manifest.folder else home)


def manifest_of(entry: Entry, part: Path) -> Manifest:
    """The note that a bundled model does without."""
    return Manifest(
        name=entry.name,
        source="bundled with Clearhead",
        licence=entry.licence,
        licence_from=entry.licence_from,
        files=entry.files,
        folder=str(part),
    )


def all_pulled() -> list[Pulled]:
    """Every model with a manifest."""
    folder = models_folder()
    keys = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [pulled for key in keys if (pulled := find_pulled(key))]


def bytes_taken(key: str) -> int:
    """Bytes a model takes on the disk, unfinished pulls and files in the Hub's cache included."""
    pulled = find_pulled(key)
    elsewhere = [pulled.folder / f.path for f in pulled.manifest.files] if pulled and pulled.manifest.folder else []
    folders = models_folder() / key, staging_folder(key), archives_folder(key)
    return sum(map(used_bytes, folders)) + sum(max(size_of(path), 0) for path in elsewhere)


def publish(key: str, manifest: Manifest) -> Pulled:
    """Make the checked files in the staging folder the model `key`; an older one of that key gives way.

    Raises:
        DownloadError: the files are not all there.
    """
    staging, home = staging_folder(key), models_folder() / key
    staging.mkdir(parents=True, exist_ok=True)
    mine = set() if manifest.folder else {staging / file.path for file in manifest.files}
    for path in staging.rglob("*"):
        if path.is_file() and path not in mine:
            path.unlink()  # left by a pull from another source
    write_manifest(manifest, staging)
    for path in (*staging.rglob("*"), staging):
        flush_to_disk(path)
    home.parent.mkdir(parents=True, exist_ok=True)
    discard_model(key)
    staging.replace(home)
    flush_to_disk(home.parent)
    shutil.rmtree(archives_folder(key), ignore_errors=True)
    pulled = find_pulled(key)
    if pulled is None or not pulled.is_whole:
        raise DownloadError(f"{manifest.name}: its files were changed while they were put in place; pull it again")
    return pulled


def discard_model(key: str) -> None:
    """Take a finished model away; in one step out of sight, so that no half of it is ever seen."""
    home, doomed = models_folder() / key, cache_root() / "partial" / f"{key}.removed"
    shutil.rmtree(doomed, ignore_errors=True)  # left by a process that was killed here
    if home.exists():
        doomed.parent.mkdir(parents=True, exist_ok=True)
        home.replace(doomed)
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
