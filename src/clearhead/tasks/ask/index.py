"""A store kept in step with folders: what is new or changed is read, what is gone leaves, the rest is not touched.

A file with the size and time it had is taken as unchanged; with another time its SHA-256 decides. Each file enters
whole, so an index that was interrupted is gone on with by asking again.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from clearhead.engine.model import Model
from clearhead.errors import ClearheadError, DataError, OptionError
from clearhead.executor import Floats
from clearhead.generation.prefill import Cancelled, never
from clearhead.tasks.ask.ingest import FORMATS, read
from clearhead.tasks.ask.ingest.reading import LARGEST
from clearhead.tasks.ask.passages import SIZE, Passage, passages
from clearhead.tasks.ask.store import File, Kind, Store
from clearhead.tasks.ask.watch import Watch, silent
from clearhead.tasks.embed import embed

LETTERS = 8  # in a token at most; English has 4 to 5


@dataclass(kw_only=True, slots=True)
class Indexed:
    """What became of the files that an index was asked to hold."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    passed_over: int = 0  # files in folders, of kinds that are not read
    failed: list[str] = field(default_factory=list)  # why files in folders could not be read, each with its path
    empty: list[str] = field(default_factory=list)  # new and changed files without any text
    passages: int = 0  # in the store now
    complete: bool = True  # False: it was interrupted

    @property
    def files(self) -> int:
        """Those that the store holds of what was asked."""
        return self.new + self.changed + self.unchanged


@dataclass(frozen=True, slots=True)
class Found:
    """A file to hold, and whether a person named it."""

    path: Path
    named: bool


@dataclass(kw_only=True, slots=True)
class Gathered:
    """What files and folders hold, looked for before any model is loaded."""

    given: tuple[Path, ...]
    files: dict[Path, Found] = field(default_factory=dict)
    passed_over: int = 0  # files in folders, of kinds that are not read
    failed: list[str] = field(default_factory=list)  # why folders, and files by their names, cannot be read
    unread: list[str] = field(default_factory=list)  # those folders
    lost: dict[Path, ClearheadError] = field(default_factory=dict)  # given, and not there or empty; what to say of it

    def enter_folder(self, folder: Path) -> None:
        """The files in a folder and those below it."""
        for file in walk(folder, self.closed):
            if not is_text(str(file)):
                self.failed.append(f"{shown(file)} has a name that is not UTF-8; rename it")
            elif file.suffix.lower() in FORMATS:
                self.files.setdefault(file, Found(file, False))
            else:
                self.passed_over += 1

    def enter_file(self, file: Path) -> None:
        """A file that a person named; errors as `gather`."""
        if not is_text(str(file)):
            raise DataError(f"{shown(file)} has a name that is not UTF-8; rename it")
        if file.suffix.lower() not in FORMATS:
            raise DataError(f"{file}: documents of this kind are not read; give {', '.join(FORMATS)}")
        self.files[file] = Found(file, True)

    def closed(self, error: OSError) -> None:
        """A folder that cannot be read."""
        self.unread.append(error.filename)
        self.failed.append(f"{shown(error.filename)} cannot be read: {error.strerror}")


def update(
    store: Store,
    encoder: Model,
    documents: Gathered,
    *,
    size: int = SIZE,
    watch: Watch = silent,
    cancelled: Cancelled = never,
) -> Indexed:
    """Bring a store in step with files and folders; of other files that it holds nothing changes.

    Raises:
        OptionError: a store made with another model or size of passages, or as `check_lost`.
        DataError: a named file that cannot be read, or no text in any.
    """
    found = list(documents.files.values())
    check_lost(store, documents)
    check_kind(store, Kind(encoder=encoder.name, width=encoder.config.d_model, size=size))
    known, done = store.files(), Indexed(passed_over=documents.passed_over, failed=list(documents.failed))
    here = {str(each.path) for each in found}
    gone = [
        path
        for path in known
        if path not in here and is_under(path, documents.given) and not is_under(path, documents.unread)
    ]
    store.remove(gone)
    done.removed = len(gone)
    changed = [each for each in found if not is_known(each, known.get(str(each.path)))]
    done.unchanged = len(found) - len(changed)
    if changed:
        watch.begin(f"indexing {len(changed)} of {len(found)} documents", len(changed))
    for each in changed:
        if cancelled():
            done.complete = False
            break
        enter(store, encoder, each, known.get(str(each.path)), size, done)
        watch.advance(1)
    done.passages = store.count()
    if not done.passages and done.complete and not done.removed:
        why = f"; {done.failed[0]}" if done.failed else ""
        raise DataError(f"there is no text in {', '.join(map(str, documents.given))}{why}")
    return done


def check_kind(store: Store, wanted: Kind) -> None:
    """Fix what a new store is made with; refuse another kind than it has."""
    store.begin(wanted)
    kind = store.kind()
    if kind is not None and kind != wanted:
        raise OptionError(
            f"{store.name} was made with {kind.encoder} and passages of {kind.size} tokens, not {wanted.encoder} and "
            f"{wanted.size}; ask in the same way, or index into another store"
        )


def gather(documents: Sequence[Path]) -> Gathered:
    """Every file of the kinds that are read, and what else lies beside them in folders. A path that does not exist, and
    folders without any document, are `lost`: see `check_lost`.

    Raises:
        OptionError: no documents.
        DataError: a file of another kind.
    """
    if not documents:
        raise OptionError("no documents; give files or folders")
    found = Gathered(given=tuple(documents))
    for given in documents:
        path = Path(os.path.abspath(given))  # noqa: PTH100  as a person knows it: links are not followed
        if not path.exists():
            found.lost[path] = OptionError(f"{shown(given)}: there is no such file or folder")
        elif path.is_dir():
            found.enter_folder(path)
        else:
            found.enter_file(path)
    if not found.files and not found.failed and not found.lost:
        where = ", ".join(map(str, documents))
        error = DataError(f"there is no document in {where}; these are read: {', '.join(FORMATS)}")
        found.lost = {Path(os.path.abspath(given)): error for given in documents}  # noqa: PTH100
    return found


def check_lost(store: Store | None, documents: Gathered | None) -> None:
    """Refuse what is not there, unless a store has documents from there: then these are gone, and leave it.

    Raises:
        OptionError, DataError: as `Gathered.lost` has them.
    """
    lost = {} if documents is None else documents.lost
    known = list(store.files()) if store is not None and lost else []
    for path, error in lost.items():
        if not any(is_under(file, [path]) for file in known):
            raise error


def is_text(path: str) -> bool:
    """Whether a path can be written down as UTF-8; a name on disk may be any bytes."""
    return not any("\ud800" <= letter <= "\udfff" for letter in path)


def shown(path: str | Path) -> str:
    """A path that a message may hold."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def walk(folder: Path, closed: Callable[[OSError], object]) -> Iterator[Path]:
    """The files of a folder and those below it, in order; hidden ones and links to folders are left alone. `closed` is
    told of folders that cannot be read.
    """
    for where, folders, files in os.walk(folder, onerror=closed):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(where, name) for name in sorted(files) if not name.startswith("."))


def is_under(path: str, documents: Iterable[str | Path]) -> bool:
    """Whether a path is one of these, or lies in one of them."""
    return any(Path(path).is_relative_to(os.path.abspath(each)) for each in documents)  # noqa: PTH100


def is_known(found: Found, known: File | None) -> bool:
    """Whether a file has the size and the time that it had."""
    with suppress(OSError):  # told when it is read
        status = found.path.stat()
        return known is not None and (known.size, known.mtime_ns) == (status.st_size, status.st_mtime_ns)
    return False


def enter(store: Store, encoder: Model, found: Found, known: File | None, size: int, done: Indexed) -> None:
    """One file into the store, unless its content is there; counted in `done`. Errors as `update`."""
    try:
        status = found.path.stat()
        check_file(found.path, status)
        data = found.path.read_bytes()
        file = File(
            path=str(found.path),
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            sha256=hashlib.sha256(data).hexdigest(),
        )
        if known is not None and known.sha256 == file.sha256:
            store.touch(file)
            done.unchanged += 1
            return
        cut = list(passages(file.path, read(found.path, data), lambda text: tokens(encoder, text), size))
    except OSError as error:
        gone = isinstance(error, FileNotFoundError)  # what cannot be read now may be there again; it stays as it was
        fail(store, found, known if gone else None, f"{found.path} cannot be read: {error.strerror or error}", done)
        return
    except DataError as error:
        fail(store, found, known, str(error), done)
        return
    store.replace(file, cut, meanings(encoder, cut))
    if not cut:
        done.empty.append(file.path)
    done.new, done.changed = done.new + (known is None), done.changed + (known is not None)


def check_file(path: Path, status: os.stat_result) -> None:
    """Refuse what is no file, such as a pipe, which would be waited for, and what is too large to be held."""
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path} is no file that can be read again, such as a pipe; leave it out")
    if status.st_size > LARGEST:
        raise DataError(f"{path} is larger than {LARGEST // 2**20} MiB; split it")


def fail(store: Store, found: Found, known: File | None, why: str, done: Indexed) -> None:
    """A file that cannot be read: an error where a person named it, otherwise remembered; its old text goes."""
    if found.named:
        raise DataError(why)
    if known is not None:
        store.remove([str(found.path)])
    done.failed.append(why)


def tokens(encoder: Model, text: str) -> int:
    """How long a text is for the model of meanings, without what frames it; more where that sees one unknown word in
    many letters (a picture in hexadecimal digits, Thai), of which other models see each.
    """
    return max(len(encoder.tokenizer.encode(text, add_special_tokens=False, parse_special=False)), len(text) // LETTERS)


def meanings(encoder: Model, cut: Sequence[Passage]) -> Floats:
    """The unit vectors [N, C] of passages with their headings; without, where those make them too long."""
    room = encoder.config.max_positions - 2
    texts = [each.whole if tokens(encoder, each.whole) <= room else each.text for each in cut]
    return embed(texts, model=encoder) if texts else np.zeros((0, encoder.config.d_model), np.float32)
