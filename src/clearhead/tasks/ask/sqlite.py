"""A store in one file: SQLite, its FTS5 index for words (BM25 over Porter stems), and vectors beside the passages.

Vectors are compared with all others, by the `sqlite-vec` extension where Python's SQLite may load one, else by NumPy:
both read the same bytes, float32 [C], and give the same order. That is exact, and for the 100,000 passages of a large
library it takes about a second, a third of that with the extension; who has more takes PostgreSQL.
"""

import json
import re
import sqlite3
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from clearhead.errors import DataError
from clearhead.executor import Floats
from clearhead.tasks.ask.common_words import COMMON
from clearhead.tasks.ask.passages import Passage
from clearhead.tasks.ask.store import LAYOUT, TITLE, File, Kind, Row, Scored, Store, as_passage, in_order

MARK = 0x436C6561  # SQLite's application_id of these files: "Clea"
WAIT = 30.0  # seconds for another process to finish its writing
ROWS = 4096  # vectors that NumPy compares at a time
WORD = re.compile(r"\w+")
TABLES = """
create table kind (encoder text not null, width integer not null, size integer not null);
create table files (id integer primary key, path text not null unique, size integer not null,
    mtime_ns integer not null, sha256 text not null);
create table passages (id integer primary key, file integer not null references files (id) on delete cascade,
    headings text not null, title text not null, text text not null, line integer, page integer, vector blob not null);
create index passages_of on passages (file);
create virtual table words using fts5 (title, text, content='passages', content_rowid='id',
    tokenize="porter unicode61 remove_diacritics 2");
create trigger passages_enter after insert on passages begin
    insert into words (rowid, title, text) values (new.id, new.title, new.text); end;
create trigger passages_leave after delete on passages begin
    insert into words (words, rowid, title, text) values ('delete', old.id, old.title, old.text); end;
"""


class SqliteStore(Store):
    """Passages in a file; made new where there is none."""

    def __init__(self, path: Path) -> None:
        """Open or make it.

        Raises:
            DataError: it is no such file, or cannot be written.
        """
        self.name = str(path)
        if path.is_dir():
            raise DataError(f"the store {path} is a folder; name a file in it")
        if not path.parent.is_dir():
            raise DataError(f"the store {path} cannot be made: there is no folder {path.parent}; make it first")
        with self.failures():
            self.base = sqlite3.connect(path, timeout=WAIT, isolation_level=None)
        try:
            with self.failures():
                self.base.execute("pragma foreign_keys = on")
                self.prepare()
        except DataError:
            self.base.close()
            raise
        self.extended = load_extension(self.base)

    def prepare(self) -> None:
        """Make the tables of a new file; refuse a file that is something else."""
        base = self.base
        with self.writing():
            [mark] = base.execute("pragma application_id").fetchone()
            [layout] = base.execute("pragma user_version").fetchone()
            [tables] = base.execute("select count(*) from sqlite_schema").fetchone()
            if not tables:
                for statement in statements(TABLES):
                    base.execute(statement)
                base.execute(f"pragma application_id = {MARK}")
                base.execute(f"pragma user_version = {LAYOUT}")
            elif mark != MARK:
                raise DataError(f"{self.name} is a database of another program; give another file as the store")
            elif layout != LAYOUT:
                raise DataError(f"{self.name} was written by another version of Clearhead; remove it and index again")

    def kind(self) -> Kind | None:
        """See `Store`."""
        with self.failures():
            row = self.base.execute("select encoder, width, size from kind").fetchone()
        return None if row is None else Kind(encoder=row[0], width=row[1], size=row[2])

    def begin(self, kind: Kind) -> None:
        """See `Store`."""
        with self.failures(), self.writing():
            if self.base.execute("select count(*) from kind").fetchone() == (0,):
                self.base.execute("insert into kind values (?, ?, ?)", (kind.encoder, kind.width, kind.size))

    def files(self) -> dict[str, File]:
        """See `Store`."""
        with self.failures():
            rows = self.base.execute("select path, size, mtime_ns, sha256 from files").fetchall()
        return {row[0]: File(path=row[0], size=row[1], mtime_ns=row[2], sha256=row[3]) for row in rows}

    def replace(self, file: File, passages: Sequence[Passage], vectors: Floats) -> None:
        """See `Store`."""
        entry = (file.path, file.size, file.mtime_ns, file.sha256)
        with self.failures(), self.writing():
            self.base.execute("delete from files where path = ?", (file.path,))
            number = self.base.execute(
                "insert into files (path, size, mtime_ns, sha256) values (?, ?, ?, ?)", entry
            ).lastrowid
            self.base.executemany(
                "insert into passages (file, headings, title, text, line, page, vector) values (?, ?, ?, ?, ?, ?, ?)",
                (
                    (number, json.dumps(each.headings), each.title, each.text, each.line, each.page, packed(vector))
                    for each, vector in zip(passages, vectors, strict=True)
                ),
            )

    def touch(self, file: File) -> None:
        """See `Store`."""
        with self.failures(), self.writing():
            self.base.execute(
                "update files set size = ?, mtime_ns = ? where path = ?", (file.size, file.mtime_ns, file.path)
            )

    def remove(self, paths: Iterable[str]) -> None:
        """See `Store`."""
        with self.failures(), self.writing():
            self.base.executemany("delete from files where path = ?", ((path,) for path in paths))

    def by_words(self, words: str, limit: int) -> Scored:
        """See `Store`. FTS5's `bm25` is smaller for better (sqlite.org/fts5.html); here more is better."""
        said = list(dict.fromkeys(WORD.findall(words.lower())))
        asked = " OR ".join(f'"{word}"' for word in [word for word in said if word not in COMMON] or said)
        if not asked:
            return []
        with self.failures():
            rows = self.base.execute(
                f"select rowid, -bm25(words, {TITLE}, 1.0) as score from words where words match ? "
                "order by score desc, rowid limit ?",
                (asked, limit),
            )
            return [(int(number), float(score)) for number, score in rows]

    def by_meaning(self, vector: Floats, limit: int) -> Scored:
        """See `Store`."""
        if not self.extended:
            return self.compared(vector, limit)
        with self.failures():
            rows = self.base.execute(
                "select id, 1 - vec_distance_cosine(vector, ?) as score from passages order by score desc, id limit ?",
                (packed(vector), limit),
            )
            return [(int(number), float(score)) for number, score in rows]

    def compared(self, vector: Floats, limit: int) -> Scored:
        """The same without the extension: every vector, a few thousand at a time."""
        best_numbers = np.empty(0, np.int64)
        best_scores = np.empty(0, np.float32)
        with self.failures():
            found = self.base.execute("select id, vector from passages order by id")
            while rows := found.fetchmany(ROWS):
                numbers = np.array([row[0] for row in rows], np.int64)
                scores = unpacked([row[1] for row in rows]) @ vector
                numbers, scores = np.concatenate([best_numbers, numbers]), np.concatenate([best_scores, scores])
                order = np.lexsort((numbers, -scores))[:limit]
                best_numbers, best_scores = numbers[order], scores[order]
        return [(int(number), float(score)) for number, score in zip(best_numbers, best_scores, strict=True)]

    def passages(self, numbers: Sequence[int]) -> list[Passage]:
        """See `Store`."""
        fields = "p.id, f.path, p.text, p.headings, p.line, p.page"
        rows = self.rows(f"select {fields} from passages p join files f on f.id = p.file where p.id in", numbers)
        return [as_passage(row) for row in rows]

    def vectors(self, numbers: Sequence[int]) -> Floats:
        """See `Store`."""
        return unpacked([row[1] for row in self.rows("select p.id, p.vector from passages p where p.id in", numbers)])

    def rows(self, select: str, numbers: Sequence[int]) -> list[Row]:
        """Rows that begin with the number of a passage, in the order of `numbers`."""
        holes = ",".join("?" * len(numbers))
        with self.failures():
            return in_order(self.base.execute(f"{select} ({holes})", list(numbers)), numbers)

    def count(self) -> int:
        """See `Store`."""
        with self.failures():
            [number] = self.base.execute("select count(*) from passages").fetchone()
        return int(number)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """See `Store`."""
        with self.failures():
            self.base.execute("begin")
            try:
                yield
            finally:
                self.base.execute("rollback")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction: all of the block, or nothing."""
        self.base.execute("begin immediate")
        try:
            yield
            self.base.execute("commit")  # which waits for those who read
        except BaseException:
            self.base.execute("rollback")
            raise

    @contextmanager
    def failures(self) -> Iterator[None]:
        """SQLite's errors as ours."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise DataError(f"the store {self.name} cannot be used: {error}; {remedy(error)}") from None
        except OSError as error:
            raise DataError(f"the store {self.name} cannot be made: {error.strerror or error}") from None

    def close(self) -> None:
        """See `Store`."""
        self.base.close()


def remedy(error: sqlite3.DatabaseError) -> str:
    """What to do about an error; only a damaged store is to be removed, for a file may be anything."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary one (sqlite.org/rescode.html)
    if code == sqlite3.SQLITE_CORRUPT:
        return "if it is a store, remove it and index again"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "another process is writing; wait for it"
    if code == sqlite3.SQLITE_NOTADB:
        return "it is no store; give another file"
    return "see whether it can be written, or give another file"


def statements(script: str) -> Iterator[str]:
    """The statements of a script, each whole: `executescript` would end the transaction around it."""
    held = ""
    for line in script.splitlines():
        held += line + "\n"
        if sqlite3.complete_statement(held):
            yield held
            held = ""


def load_extension(base: sqlite3.Connection) -> bool:
    """Load sqlite-vec, where it is installed and this SQLite may; many builds of Python may not."""
    if not hasattr(base, "enable_load_extension"):
        return False
    with suppress(ImportError, sqlite3.Error):
        import sqlite_vec

        base.enable_load_extension(True)
        sqlite_vec.load(base)
        base.enable_load_extension(False)
        return True
    return False


def packed(vector: Floats) -> bytes:
    """A vector as bytes: float32, little-endian, as sqlite-vec reads them."""
    return struct.pack(f"<{len(vector)}f", *map(float, vector))


def unpacked(vectors: Sequence[bytes]) -> Floats:
    """The vectors [N, C] of such bytes."""
    if not vectors:
        return np.zeros((0, 0), np.float32)
    return np.frombuffer(b"".join(vectors), "<f4").reshape(len(vectors), -1).astype(np.float32, copy=False)
