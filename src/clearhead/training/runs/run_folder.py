"""A run's folder, of which one process at a time has the use, and which goes on only by the recipe it began with."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from clearhead.errors import ConfigError
from clearhead.training.recipe.recipe import Recipe, read_recipe
from clearhead.training.runs.files import DRAFT, write_whole

RECIPE, LOCK = "recipe.yaml", ".lock"
DRAFTS = (f".*{DRAFT}", ".model-*", ".adapter-*", "data/.*", "checkpoints/.*")  # of a process that was killed
FREE = (  # keys that do not change what was learnt so far
    "about", "expect", "short", "training.steps", "training.parallel", "training.recompute", "training.compile",
    "training.record",
    "evaluation.every", "evaluation.patience", "evaluation.dev_scores", "evaluation.dev_limit", "saving",
)  # fmt: skip
Keys = dict[str, Any]  # by path with dots


class BusyError(ConfigError):
    """A folder in which another process is at work; `what` says so without a remedy."""

    def __init__(self, folder: Path) -> None:
        self.what = f"another process is at work in {folder}"
        super().__init__(f"{self.what}; wait for it, or name another folder")


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The folder, made where there is none, with no other process at work in it while the block runs.

    Raises:
        BusyError: another process is.
        ConfigError: the folder cannot be written to.
    """
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise BusyError(folder) from None
    except OSError as e:
        raise ConfigError(f"{folder} cannot be written to ({e.strerror}); name another folder") from None
    try:
        yield
    finally:
        lock.release()


def settle(folder: Path, recipe: Recipe, *, resume: bool) -> None:
    """Have a held folder be this recipe's, and hold nothing half-written.

    Raises:
        ConfigError: as `fits`.
    """
    fits(folder, recipe, resume=resume)
    sweep(folder)
    write_whole(folder / RECIPE, text_of(recipe))


def fits(folder: Path, recipe: Recipe, *, resume: bool) -> bool:
    """Whether a folder holds a run of this recipe, which is to be gone on with; if not, it is empty, not there
    yet, or was given up before any data was read.

    Raises:
        ConfigError: it holds a run and is not to be resumed, or one by another recipe, or something else.
    """
    path = folder / RECIPE
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; name another one with --output")
    seen = sorted(p.name for p in folder.iterdir() if not p.name.startswith(".")) if folder.exists() else []
    if seen == [RECIPE]:
        return False  # of a run that failed before it read anything
    if path.is_file():
        if not resume:
            raise ConfigError(f"{folder} holds a run; go on with --resume, or name another folder with --output")
        if (change := difference(read_recipe(path), recipe)) is not None:
            raise ConfigError(f"{folder} holds a run of another recipe: {change}; name another folder with --output")
        return True
    if seen:
        raise ConfigError(f"{folder} holds no run, but {seen[0]}; name a new folder with --output")
    return False


def text_of(recipe: Recipe) -> str:
    """A recipe as YAML: what it sets, overrides included."""
    keys = recipe.model_dump(mode="json", exclude_unset=True)
    return str(yaml.safe_dump(keys, sort_keys=False, allow_unicode=True, width=100))


def sweep(folder: Path) -> None:
    """Remove what was left half-written."""
    for pattern in DRAFTS:
        for path in folder.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def difference(before: Recipe, now: Recipe) -> str | None:
    """The first key in which two recipes differ, but for those that do not change what was learnt so far; data may have
    moved to another folder."""
    old, new = (settled(recipe) for recipe in (before, now))
    for key in (*old, *(key for key in new if key not in old)):
        if old.get(key, ...) != new.get(key, ...) and not any(key == f or key.startswith(f"{f}.") for f in FREE):
            was, is_now = (repr(keys[key]) if key in keys else "not set" for keys in (old, new))
            return f"{key} was {was}, and is {is_now}"
    return None


def settled(recipe: Recipe) -> Keys:
    """Every key, set or not, with {folder} for where the data lies."""
    keys = flat(recipe.model_dump(mode="json"))
    folder = keys.pop("folder")
    return {key: unplaced(value, folder) for key, value in keys.items()}


def unplaced(value: Any, folder: str) -> Any:
    """A path within the folder of data, wherever that is."""
    return "{folder}" + value[len(folder) :] if isinstance(value, str) and value.startswith(f"{folder}/") else value


def flat(value: Any, path: str = "") -> Keys:
    """Values by their path of keys and numbers."""
    if isinstance(value, Mapping) and value:
        items = value.items()
    elif isinstance(value, list) and value:
        items = dict(enumerate(value)).items()
    else:
        return {path: value}
    return {k: v for key, item in items for k, v in flat(item, f"{path}.{key}" if path else str(key)).items()}
