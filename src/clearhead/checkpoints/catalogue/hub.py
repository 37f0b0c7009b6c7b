"""The Hugging Face Hub through `huggingface_hub`: its cache (HF_HOME), its token (HF_TOKEN), its address (HF_ENDPOINT).

`huggingface_hub` checks the size of what it fetches over plain HTTP, not its content
(https://github.com/huggingface/huggingface_hub/issues/2364), so every file is compared here with the digest the Hub's
listing gives: SHA-256 for large files, Git's own for small ones.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from clearhead.checkpoints.catalogue.disk import require_space, size_of
from clearhead.checkpoints.catalogue.entries import Entry, File, HubSource
from clearhead.checkpoints.catalogue.hashing import git_blob_of, sha256_of
from clearhead.checkpoints.catalogue.hub_calls import asking_the_hub, bar_of
from clearhead.checkpoints.catalogue.hub_files import choose
from clearhead.checkpoints.catalogue.manifest import Manifest, is_inside
from clearhead.checkpoints.catalogue.names import HubName
from clearhead.checkpoints.catalogue.progress import Progress, Silent
from clearhead.errors import CheckpointError, DownloadError, UnknownModelError

COMMIT = re.compile(r"[0-9a-f]{40}")
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
    folder, files = fetch_all(listing, chosen, str(model), progress)
    return Manifest(
        name=str(model),
        source=f"Hugging Face Hub, {model.repo} at {listing.commit[:12]}",
        licence=listing.licence,
        licence_from="stated by the model card on the Hub" if listing.licence else "",
        files=tuple(files),
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
    chosen = [listing.files[file.path] for file in sorted(entry.files, key=lambda file: file.size)]
    small = [file for file in chosen if file.sha256 is None]  # the listing says nothing of their SHA-256: look first
    for files in (small, chosen):
        folder, arrived = fetch_all(listing, files, entry.name, progress)
        if other := [file.path for file in arrived if file not in entry.files]:
            raise DownloadError(f"{source.repo} on the Hub holds another {other[0]} than the catalogue's {entry.name}")
    return Manifest(
        name=entry.name,
        source=f"Hugging Face Hub, {source.repo} at {listing.commit[:12]}",
        licence=entry.licence,
        licence_from=entry.licence_from,
        files=entry.files,
        folder=str(folder),
    )


def list_files(repo: str, revision: str | None) -> Listing:
    """Ask the Hub for a repository's files, sizes, digests and licence; paths that leave it are not listed."""
    from huggingface_hub import HfApi

    with asking_the_hub(repo, revision):
        info = HfApi().model_info(repo, revision=revision, files_metadata=True, timeout=PATIENCE)
    files = {}
    for file in info.siblings or ():
        if is_inside(file.rfilename):
            digest = file.lfs.sha256 if file.lfs else None
            files[file.rfilename] = HubFile(path=file.rfilename, size=file.size or 0, sha256=digest, blob=file.blob_id)
    if not COMMIT.fullmatch(info.sha or ""):
        raise DownloadError(f"the Hub's answer for {repo} names no commit; check HF_ENDPOINT")
    licences = [tag.partition(":")[2] for tag in info.tags or () if tag.startswith("license:")]
    return Listing(repo=repo, commit=str(info.sha), licence=", ".join(licences), files=files)


def fetch_all(listing: Listing, chosen: list[HubFile], name: str, progress: Progress) -> tuple[Path, list[File]]:
    """Bring the files into the Hub's cache and check them; their folder there, and their SHA-256."""
    from huggingface_hub import constants, try_to_load_from_cache

    def is_cached(file: HubFile) -> bool:
        return isinstance(try_to_load_from_cache(listing.repo, file.path, revision=listing.commit), str)

    needed = sum(file.size for file in chosen if not is_cached(file))
    require_space(Path(constants.HF_HUB_CACHE), needed, name)
    progress.begin(f"{name} from the Hugging Face Hub", sum(file.size for file in chosen))
    folder, files = Path(), []
    for file in chosen:
        path = fetch_one(listing, file, progress)
        folder = path.parents[file.path.count("/")]
        files.append(checked(path, file, listing.repo))
    return folder, files


def fetch_one(listing: Listing, file: HubFile, progress: Progress) -> Path:
    """One file's place in the Hub's cache, fetched if it was not there."""
    from huggingface_hub import hf_hub_download

    bar, told = bar_of(file.size, progress)
    with asking_the_hub(listing.repo, listing.commit):
        path = hf_hub_download(listing.repo, file.path, revision=listing.commit, tqdm_class=bar)
    progress.advance(file.size - told())
    return Path(path)


def checked(path: Path, file: HubFile, repo: str) -> File:
    """The file with its SHA-256.

    Raises:
        DownloadError: it is not what the Hub lists; it is removed from the Hub's cache.
    """
    found = sha256_of(path, Silent())
    right = found == file.sha256 if file.sha256 else git_blob_of(path, Silent()) == file.blob
    if size_of(path) == file.size and right:
        return File(path=file.path, size=file.size, sha256=found)
    path.resolve().unlink()  # the cache keeps contents apart from names
    path.unlink(missing_ok=True)
    raise DownloadError(
        f"{repo}: {file.path} arrived with other bytes than the Hub lists; it was discarded, pull again"
    )


def find_cached(model: HubName) -> Path | None:
    """A model that some program already fetched into the Hub's cache, whole; asks nobody.

    The layout is https://huggingface.co/docs/huggingface_hub/guides/manage-cache.
    """
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE) / f"models--{model.owner}--{model.name}"
    revision = model.revision or "main"
    reference = cache / "refs" / revision
    commit = reference.read_text(encoding="utf-8").strip() if size_of(reference) == 40 else revision
    snapshot = cache / "snapshots" / commit
    present = [path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*") if size_of(path) >= 0]
    try:
        chosen = choose(model, present) if COMMIT.fullmatch(commit) else []
    except (CheckpointError, UnknownModelError):
        return None
    return (snapshot / chosen[0] if len(chosen) == 1 else snapshot) if chosen else None


def remove_from_hub_cache(folder: Path) -> None:
    """Take the commit that lies in `folder` out of the Hub's cache, with the files that no other commit uses."""
    from huggingface_hub import scan_cache_dir

    if folder.is_dir():
        cache, repository = folder.parents[2], folder.parents[1]
        info = scan_cache_dir(cache)
        mine = frozenset(repo for repo in info.repos if repo.repo_path.name == repository.name)
        replace(info, repos=mine).delete_revisions(folder.name).execute()  # a fork has commits of the same name
