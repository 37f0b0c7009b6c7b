"""An index in step with folders: only what changed is read, what is gone leaves, and nothing is lost on the way."""

import os
from pathlib import Path
from typing import Any

import pytest

import clearhead as ch
from clearhead.engine.model import Model
from clearhead.errors import DataError, OptionError
from clearhead.tasks.ask import index
from clearhead.tasks.ask.index import Indexed, gather, update
from clearhead.tasks.ask.retrieve import Retriever
from clearhead.tasks.ask.sqlite import SqliteStore


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A small encoder with random weights: here it is enough that every text has a vector."""
    import tiny

    return ch.load(tiny.bert_folder(tmp_path_factory.mktemp("encoder") / "model"), executor="native", dtype="float32")


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Three documents in two folders, beside what is no document."""
    folder = tmp_path / "notes"
    (folder / "more").mkdir(parents=True)
    (folder / "bell.md").write_text("# Bell\n\nCast in 1881.\n")
    (folder / "rope.txt").write_text("Hemp.\n")
    (folder / "more" / "list.csv").write_text("name,year\nAnna,1881\n")
    (folder / "photo.jpg").write_bytes(b"\xff")
    (folder / ".hidden.txt").write_text("hidden")
    (folder / ".git").mkdir()
    (folder / ".git" / "a.txt").write_text("hidden")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    """An empty store."""
    return SqliteStore(tmp_path / "store")


def counts(done: Indexed) -> tuple[int, int, int, int]:
    """New, changed, unchanged, removed."""
    return done.new, done.changed, done.unchanged, done.removed


def test_only_what_changed_is_read(
    notes: Path, store: SqliteStore, encoder: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    real = index.read
    monkeypatch.setattr(index, "read", lambda path, data: read.append(path.name) or real(path, data))
    done = update(store, encoder, gather([notes]), size=32)
    assert (counts(done), done.passages, done.passed_over) == ((3, 0, 0, 0), 3, 1)
    assert counts(update(store, encoder, gather([notes]), size=32)) == (0, 0, 3, 0) and len(read) == 3
    os.utime(notes / "rope.txt", (1, 1))
    (notes / "bell.md").write_text("# Bell\n\nCast in 1882.\n")
    (notes / "more" / "list.csv").unlink()
    (notes / "new.txt").write_text("New.")
    assert counts(update(store, encoder, gather([notes]), size=32)) == (1, 1, 1, 1)
    assert read[3:] == ["bell.md", "new.txt"]  # rope.txt has the same content
    assert store.by_words("1881", 9) == [] and len(store.by_words("1882", 9)) == 1
    assert counts(update(store, encoder, gather([notes]), size=32)) == (0, 0, 3, 0)


def test_other_folders_are_left_alone(notes: Path, store: SqliteStore, encoder: Model, tmp_path: Path) -> None:
    update(store, encoder, gather([notes]), size=32)
    other = tmp_path / "other.txt"
    other.write_text("Other.")
    assert counts(update(store, encoder, gather([other]), size=32)) == (1, 0, 0, 0)
    assert store.count() == 4
    with pytest.raises(OptionError, match=r"none\.txt: there is no such file or folder"):
        update(store, encoder, gather([other, tmp_path / "none.txt"]), size=32)


def test_what_is_gone_leaves_even_with_its_folder(notes: Path, store: SqliteStore, encoder: Model) -> None:
    update(store, encoder, gather([notes, notes / "rope.txt"]), size=32)
    (notes / "rope.txt").unlink()
    assert counts(update(store, encoder, gather([notes / "rope.txt"]), size=32)) == (0, 0, 0, 1)
    with pytest.raises(OptionError, match="no such file or folder"):  # nothing is known of it any more
        update(store, encoder, gather([notes / "rope.txt"]), size=32)
    for path in (notes / "bell.md", notes / "more" / "list.csv"):
        path.unlink()
    assert counts(update(store, encoder, gather([notes]), size=32)) == (0, 0, 0, 2) and store.count() == 0


def test_files_that_cannot_be_read_are_told_and_their_old_text_goes(
    notes: Path, store: SqliteStore, encoder: Model
) -> None:
    update(store, encoder, gather([notes]), size=32)
    (notes / "rope.txt").write_bytes(b"\xff\x00\xfe")
    done = update(store, encoder, gather([notes]), size=32)
    assert len(done.failed) == 1 and "rope.txt" in done.failed[0] and "not UTF-8" in done.failed[0]
    assert store.by_words("hemp", 9) == []
    with pytest.raises(DataError, match="not UTF-8"):
        update(store, encoder, gather([notes / "rope.txt"]), size=32)
    with pytest.raises(DataError, match="documents of this kind are not read"):
        update(store, encoder, gather([notes / "photo.jpg"]), size=32)


def test_an_interrupted_index_is_gone_on_with(notes: Path, store: SqliteStore, encoder: Model) -> None:
    asked = iter([False, True])
    done = update(store, encoder, gather([notes]), size=32, cancelled=lambda: next(asked))
    assert not done.complete and store.count() == 1
    assert counts(update(store, encoder, gather([notes]), size=32)) == (2, 0, 1, 0)


def test_a_store_is_asked_as_it_was_made(notes: Path, store: SqliteStore, encoder: Model) -> None:
    update(store, encoder, gather([notes]), size=32)
    with pytest.raises(OptionError, match="passages of 32 tokens, not"):
        update(store, encoder, gather([notes]), size=16)


def test_what_is_empty_is_refused(store: SqliteStore, encoder: Model, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no documents"):
        update(store, encoder, gather([]))
    with pytest.raises(DataError, match="there is no document in"):
        update(store, encoder, gather([tmp_path]))
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(DataError, match="there is no text in"):
        update(store, encoder, gather([tmp_path / "empty.txt"]), size=32)


def test_a_file_that_is_named_twice_is_read_once(notes: Path) -> None:
    found = gather([notes, notes / "bell.md", notes / ".." / "notes"]).files.values()
    assert [each.path.name for each in found].count("bell.md") == 1 and len(found) == 3


def test_a_folder_that_cannot_be_read_keeps_what_was_known_of_it(
    store: SqliteStore, encoder: Model, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (notes / "sub").mkdir()
    (notes / "sub" / "b.txt").write_text("The rope is of hemp.")
    update(store, encoder, gather([notes]), size=32)
    known = store.files().keys()
    walk = os.walk

    def shut(folder: Path, onerror: Any) -> Any:
        for where, folders, files in walk(folder, onerror=onerror):
            if str(where).endswith("sub"):
                onerror(PermissionError(13, "Permission denied", str(where)))
            else:
                yield where, folders, files

    monkeypatch.setattr(os, "walk", shut)
    done = update(store, encoder, gather([notes]), size=32)
    assert done.removed == 0 and "sub cannot be read: Permission denied" in done.failed[0]
    assert store.files().keys() == known


def test_names_that_are_not_text_and_pipes_are_left_out(store: SqliteStore, encoder: Model, notes: Path) -> None:
    Path(os.fsdecode(bytes(notes) + b"/caf\xe9.txt")).write_text("The café.")
    os.mkfifo(notes / "pipe.txt")
    with (notes / "large.log").open("wb") as stream:
        stream.truncate(2**40)
    done = update(store, encoder, gather([notes]), size=32)
    assert len(done.failed) == 3 and done.passages
    assert any("caf\\udce9.txt has a name that is not UTF-8" in why for why in done.failed)
    assert any("pipe.txt is no file" in why for why in done.failed)
    assert any("large.log is larger than 64 MiB" in why for why in done.failed)


def test_documents_that_all_fail_are_told(store: SqliteStore, encoder: Model, tmp_path: Path) -> None:
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "latin.txt").write_bytes("für".encode("latin-1"))
    with pytest.raises(DataError, match=r"there is no text in .*only; .*latin.txt: .*not UTF-8"):
        update(store, encoder, gather([tmp_path / "only"]), size=32)


def test_a_search_sees_one_state_of_the_store(encoder: Model, notes: Path, tmp_path: Path) -> None:
    """While one process searches another may enter files; what was found must not be gone when it is read."""
    with SqliteStore(tmp_path / "one.index") as store, SqliteStore(tmp_path / "one.index") as other:
        update(store, encoder, gather([notes]), size=32)
        retriever = Retriever(store=store, encoder=encoder)
        with store.reading():
            before = store.by_words("bell", 3)
            other.base.execute("pragma busy_timeout = 50")
            with pytest.raises(DataError, match="another process is writing"):
                other.remove(list(store.files()))
            assert len(store.passages([number for number, _ in before])) == len(before)
        other.remove(list(store.files()))
        assert retriever.find("bell", 3) == []


@pytest.mark.parametrize(
    ("name", "says"), [("", "is a folder"), ("none/x.index", "there is no folder"), ("own.md", "it is no store")]
)
def test_what_is_no_store_is_left_as_it_is(name: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "own.md").write_text("My own notes, which nobody should be told to remove. " * 20)
    with pytest.raises(DataError, match=says) as error:
        SqliteStore(tmp_path / name)
    assert "remove" not in str(error.value) and not (tmp_path / "none").exists()
