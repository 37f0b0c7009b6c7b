"""The Hugging Face Hub through `huggingface_hub`: its cache (HF_HOME), its token (HF_TOKEN), its address (HF_ENDPOINT).

`huggingface_hub` checks the size of what it fetches over plain HTTP, not its content
(https://github.com/huggingface/huggingface_hub/issues/2364), so every file is compared here with the digest the Hub's
listing gives: SHA-256 for large files, Git's own for small ones.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearhead.checkpoints.catalogue.disk import require_space, size_of
from clearhead.checkpoints.catalogue.entries import Entry, File, HubSource
from clearhead.checkpoints.catalogue.hashing import git_blob_of, sha256_of
from clearhead.checkpoints.catalogue.hub_files import choose
from clearhead.checkpoints.catalogue.manifest import Manifest
from clearhead.checkpoints.catalogue.names import HubName
from clearhead.checkpoints.catalogue.progress import Progress, Silent
from clearhead.errors import CheckpointError, DownloadError, UnknownModelError

PATIENCE = 10.0  # seconds to wait for the Hub's first word


@dataclass(frozen=True, kw_only=True, slots=True)
class HubFile:
    """One file as the Hub lists it: `sha256` where it is large, else `blob`, Git's id of its content."""

    path: str
    size: int
    sha256: str | None
    blob: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """A repository at one commit."""

    repo: str
    commit: str
    licence: str
    files: Mapping[str, HubFile]


def pull_from_hub(model: HubName, progress: Progress) -> Manifest:
    """Fetch what makes the model, at the commit its revision stands for now, into the Hub's own cache.

    Raises:
        UnknownModelError: the Hub knows no such repository, revision or file.
        CheckpointError: the repository holds no weights that Clearhead opens.
        DownloadError: the Hub cannot be reached, refuses, or sent something else than it lists.
    """
    listing = list_files(model.repo, model.revision)
    chosen = [listing.files[path] for path in choose(model, listing.files)]
    folder, hashes = fetch_all(listing, chosen, str(model), progress)
    return Manifest(
        name=str(model),
        source=f"Hugging Face Hub, {model.repo} at {listing.commit[:12]}",
        licence=listing.licence,
        licence_from="stated by the model card on the Hub" if listing.licence else "",
        files=tuple(File(path=file.path, size=file.size, sha256=hashes[file.path]) for file in chosen),
        folder=str(folder),
    )


def pull_entry_from_hub(entry: Entry, source: HubSource, progress: Progress) -> Manifest:
    """Fetch a catalogue entry's files from the Hub, if the Hub's are the same files.

    Raises:
        DownloadError: they are not, or cannot be had; nothing is fetched before their sizes and hashes agree.
    """
    try:
        listing = list_files(source.repo, source.revision)
    except UnknownModelError as error:
        raise DownloadError(str(error)) from None
    for file in entry.files:
        listed = listing.files.get(file.path)
        if listed is None or listed.size != file.size or listed.sha256 not in (None, file.sha256):
            raise DownloadError(f"{source.repo} on the Hub holds another {file.path} than the catalogue's {entry.name}")
    smallest_first = sorted(entry.files, key=lambda file: file.size)  # a difference shows before the long wait
    chosen = [listing.files[file.path] for file in smallest_first]
    expected = {file.path: file.sha256 for file in entry.files}
    folder, _ = fetch_all(listing, chosen, entry.name, progress, expected)
    return Manifest(
        name=entry.name,
        source=f"Hugging Face Hub, {source.repo} at {listing.commit[:12]}",
        licence=entry.licence,
        licence_from=entry.licence_from,
        files=entry.files,
        folder=str(folder),
    )


def list_files(repo: str, revision: str | None) -> Listing:
    """Ask the Hub for a repository's files, sizes, digests and licence."""
    from huggingface_hub import HfApi

    with hub_errors(repo, revision):
        info = HfApi().model_info(repo, revision=revision, files_metadata=True, timeout=PATIENCE)
    files = {}
    for file in info.siblings or ():
        digest = file.lfs.sha256 if file.lfs else None
        files[file.rfilename] = HubFile(path=file.rfilename, size=file.size or 0, sha256=digest, blob=file.blob_id)
    licences = [tag.partition(":")[2] for tag in info.tags or () if tag.startswith("license:")]
    return Listing(repo=info.id, commit=info.sha or "main", licence=", ".join(licences), files=files)
