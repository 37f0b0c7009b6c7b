"""Where packed weights are kept: beside the model or in the cache; made once, used while the model stays as it is."""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from clearhead.checkpoints.catalogue.entries import PACKAGE
from clearhead.checkpoints.catalogue.store import cache_root
from clearhead.checkpoints.checkpoint import Checkpoint
from clearhead.checkpoints.stored import Array, Blocks
from clearhead.errors import CheckpointError
from clearhead.families.layout import count, layout
from clearhead.native.packed_file import damaged, read_packed, write_packed
from clearhead.native.packing import PackedWeights, check_dtype, pack_weights, packable

FOLDER = ".clearhead"
WORTH_KEEPING = 12_000_000  # numbers; fewer are packed in a moment, and leave no file behind
log = logging.getLogger("clearhead")


def open_packed(checkpoint: Checkpoint, dtype: str = "auto") -> PackedWeights:
    """The checkpoint's weights, packed: from a file made earlier, or packed now and kept for the next time.

    Raises:
        OptionError: a dtype that cannot be packed.
        CheckpointError: the checkpoint itself is damaged or incomplete.
    """
    check_dtype(dtype)
    if count(layout(checkpoint.config)) < WORTH_KEEPING:
        return pack_weights(checkpoint.config, values(checkpoint, dtype), dtype)
    made_from = identity(checkpoint, dtype)
    for path in places(checkpoint, dtype):
        with suppress(OSError):
            return kept(path, checkpoint, dtype, made_from)
    log.warning(
        "%s: packed weights can be kept neither beside the model nor in the cache (full, or not to be written); they "
        "are held in memory, and packed again at every start",
        checkpoint.source.name,
    )
    return pack_weights(checkpoint.config, values(checkpoint, dtype), dtype)


def kept(path: Path, checkpoint: Checkpoint, dtype: str, made_from: dict[str, Any]) -> PackedWeights:
    """The packed file at `path`, made or made anew if need be. OSError if it cannot be."""
    if (found := fresh(path, checkpoint, made_from)) is not None:
        return found
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, temporary = path.with_suffix(".lock"), path.with_suffix(".tmp")
    try:
        from filelock import FileLock

        with FileLock(lock):  # of several processes one packs, the others wait and read
            if (found := fresh(path, checkpoint, made_from)) is not None:
                return found
            with temporary.open("wb") as file:
                write_packed(file, checkpoint.config, values(checkpoint, dtype), dtype, made_from)
            temporary.replace(path)
    finally:  # nothing is left of what failed
        temporary.unlink(missing_ok=True)
        lock.unlink(missing_ok=True)
        with suppress(OSError):
            path.parent.rmdir()  # which only an empty folder lets happen
    return read_packed(path, checkpoint.config)[0]


def drop_damaged(path: Path) -> list[str]:
    """The weights of a packed file whose bytes have changed since it was written. If there are any the file is removed,
    so that the next start packs it anew. All of it is read, which no start does.
    """
    try:
        wrong = damaged(path)
    except CheckpointError:
        wrong = ["the table"]
    if wrong:
        path.unlink(missing_ok=True)
    return wrong


def fresh(path: Path, checkpoint: Checkpoint, made_from: dict[str, Any]) -> PackedWeights | None:
    """What the file at `path` holds, if it is whole and was made from this checkpoint as it is now."""
    with suppress(FileNotFoundError, CheckpointError, ValueError):
        packed, source = read_packed(path, checkpoint.config)
        if source == made_from:
            return packed
    return None


def values(checkpoint: Checkpoint, dtype: str) -> Iterator[tuple[str, Array | Blocks]]:
    """The weights, blocks as they are where the dtype keeps them."""
    return checkpoint.stored_weights(lambda kind: packable(dtype, kind))


def identity(checkpoint: Checkpoint, dtype: str) -> dict[str, Any]:
    """What a packed file was made from: another size or time of any file of the model makes it stale."""
    files = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in source_files(checkpoint.source)]
    tensors = sorted(f"{t.name} {t.dtype} {t.shape}" for t in checkpoint.tensors.values())
    digest = hashlib.sha256("\n".join([repr(checkpoint.config), *tensors]).encode()).hexdigest()
    return {"files": files, "dtype": dtype, "model": digest}


def source_files(source: Path) -> list[Path]:
    """The files a model was read from."""
    if source.is_dir():
        return sorted(path for path in source.iterdir() if path.is_file())
    shards = source.name.rpartition("-00001-of-")
    return sorted(source.parent.glob(f"{shards[0]}-*-of-{shards[2]}")) if shards[0] else [source]


def places(checkpoint: Checkpoint, dtype: str) -> Iterator[Path]:
    """Where a packed file may be kept, the best first."""
    source = checkpoint.source.absolute()
    folder = source if source.is_dir() else source.parent
    if not folder.is_relative_to(PACKAGE):  # what is bundled is pip's to keep and to remove
        yield folder / FOLDER / f"{source.name}.{dtype}.packed"
    digest = hashlib.sha256(str(source).encode()).hexdigest()[:16]
    yield cache_root() / "packed" / f"{source.name}-{digest}.{dtype}.packed"
