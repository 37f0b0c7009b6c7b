"""The stores keep one contract: what enters is found, by words and by meaning, and a file leaves as a whole."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clearhead.errors import DataError
from clearhead.tasks.ask.passages import Passage
from clearhead.tasks.ask.postgres import PostgresStore, is_address
from clearhead.tasks.ask.sqlite import SqliteStore, load_extension
from clearhead.tasks.ask.store import File, Kind, Store
from postgres_server import postgres  # noqa: F401  a fixture

KIND = Kind(encoder="minilm-l6-v2", width=4, size=256)
TEXTS = [
    "The dogs were running beside the river.",
    "A cat sleeps on the warm stove.",
    "Rivers carry sand to the sea; a river is never still.",
    "The committee met in October and adjourned.",
]


def file(path: str, **changes: Any) -> File:
    """A document."""
    return File(**{"path": path, "size": 10, "mtime_ns": 1_700_000_000_123_456_789, "sha256": "00", **changes})


def vectors(n: int, seed: int = 0) -> Any:
    """Unit vectors [n, 4]."""
    drawn = np.random.default_rng(seed).normal(size=(n, 4)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def filled(store: Store) -> Any:
    """Two files with two passages each; their vectors."""
    store.begin(KIND)
    made = [
        Passage(file=f"/{i // 2}.md", text=text, headings=("Notes", "Öl"), line=i + 1) for i, text in enumerate(TEXTS)
    ]
    all_vectors = vectors(4)
    store.replace(file("/0.md"), made[:2], all_vectors[:2])
    store.replace(file("/1.md"), made[2:], all_vectors[2:])
    return all_vectors


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty one of each kind."""
    if request.param == "sqlite":
        with SqliteStore(tmp_path / "store.sqlite") as made:
            yield made
        return
    address = request.getfixturevalue("postgres")
    import psycopg

    with psycopg.connect(address, autocommit=True) as base:
        base.execute("drop schema if exists clearhead cascade")
    with PostgresStore(address) as kept:
        yield kept


def texts(store: Store, scored: list[tuple[int, float]]) -> list[str]:
    """What was found."""
    return [passage.text for passage in store.passages([number for number, _ in scored])]


def test_an_empty_store_finds_nothing(store: Store) -> None:
    assert store.kind() is None and store.files() == {} and store.count() == 0
    store.begin(KIND)
    assert store.kind() == KIND
    store.begin(Kind(encoder="other", width=8, size=1))
    assert store.kind() == KIND
    assert store.by_words("river", 5) == [] and store.by_meaning(vectors(1)[0], 5) == []


def test_words_are_found_by_their_stems_and_rare_ones_count_more(store: Store) -> None:
    filled(store)
    assert texts(store, store.by_words("river", 9)) == [TEXTS[2], TEXTS[0]]
    assert texts(store, store.by_words("Which dog RUNS?", 9)) == [TEXTS[0]]
    assert texts(store, store.by_words("the river committee", 1)) == [TEXTS[3]]
    assert len(store.by_words("notes", 9)) == 4  # of the headings
    scores = [score for _, score in store.by_words("river october sea", 9)]
    assert scores == sorted(scores, reverse=True) and min(scores) > 0


@pytest.mark.parametrize(
    "words", ["", "!?", "the of", "'); drop table passages; --", '"unclosed AND (', "NEAR(a, b)", "*"]
)
def test_no_question_is_a_command(store: Store, words: str) -> None:
    filled(store)
    store.by_words(words, 9)
    assert store.count() == 4


def test_meaning_is_the_cosine(store: Store) -> None:
    known = filled(store)
    asked = vectors(1, seed=9)[0]
    cosines = known @ asked
    found = store.by_meaning(asked, 3)
    assert texts(store, found) == [TEXTS[i] for i in np.argsort(-cosines)[:3]]
    assert np.allclose([score for _, score in found], np.sort(cosines)[::-1][:3], atol=1e-5)
    numbers = [number for number, _ in found][::-1]
    assert np.allclose(store.vectors(numbers), known[np.argsort(-cosines)[:3]][::-1], atol=1e-6)


def test_a_passage_comes_back_as_it_was(store: Store) -> None:
    filled(store)
    [found] = store.passages([store.by_words("adjourned", 1)[0][0]])
    assert found == Passage(file="/1.md", text=TEXTS[3], headings=("Notes", "Öl"), line=4)


def test_a_file_enters_and_leaves_as_a_whole(store: Store) -> None:
    filled(store)
    changed = Passage(file="/1.md", text="Something else entirely", page=7)
    store.replace(file("/1.md", sha256="11"), [changed], vectors(1))
    assert store.count() == 3 and store.by_words("committee", 9) == []
    assert store.passages([store.by_words("entirely", 1)[0][0]]) == [changed]
    assert store.files()["/1.md"].sha256 == "11"
    store.remove(["/0.md", "/unknown"])
    assert list(store.files()) == ["/1.md"] and store.count() == 1 and store.by_words("river", 9) == []
    store.touch(file("/1.md", size=3, mtime_ns=4))
    assert store.files()["/1.md"] == file("/1.md", size=3, mtime_ns=4, sha256="11")


def test_a_failure_midway_leaves_the_file_as_it_was(store: Store) -> None:
    filled(store)
    with pytest.raises((ValueError, DataError)):
        store.replace(file("/1.md"), [Passage(file="/1.md", text="half")], vectors(2))
    assert store.count() == 4 and store.by_words("half", 9) == []


def test_a_store_lasts(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "store") as made:
        known = filled(made)
    with SqliteStore(tmp_path / "store") as again:
        assert again.kind() == KIND and again.count() == 4
        assert texts(again, again.by_meaning(known[2], 1)) == [TEXTS[2]]


def test_the_extension_and_numpy_find_the_same(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "store") as store:
        if not load_extension(store.base):
            pytest.skip("this Python's SQLite loads no extensions, or sqlite-vec is not installed")
        filled(store)
        asked = vectors(1, seed=3)[0]
        one, other = store.by_meaning(asked, 4), store.compared(asked, 4)
        assert [n for n, _ in one] == [n for n, _ in other]
        assert np.allclose([s for _, s in one], [s for _, s in other], atol=1e-5)


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database, but long enough to be looked at as one " * 20)
    with pytest.raises(DataError, match="cannot be used"):
        SqliteStore(tmp_path / "text")
    with sqlite3.connect(tmp_path / "other") as base:
        base.execute("create table mine (a)")
    with pytest.raises(DataError, match="database of another program"):
        SqliteStore(tmp_path / "other")
    with SqliteStore(tmp_path / "old") as old:
        old.base.execute("pragma user_version = 99")
    with pytest.raises(DataError, match="another version"):
        SqliteStore(tmp_path / "old")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be made"):
        SqliteStore(tmp_path / "file" / "store")


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(DataError) as error:
        PostgresStore("postgresql://someone:secret@127.0.0.1:1/base")
    assert "someone@127.0.0.1:1" in str(error.value) and "secret" not in str(error.value)
    with pytest.raises(DataError) as error:
        PostgresStore("postgresql://127.0.0.1:1/base?user=someone&password=secret")
    assert "127.0.0.1:1/base" in str(error.value) and "secret" not in str(error.value)
    assert is_address("postgres://x") and not is_address("notes/postgres.sqlite")
