"""A store in PostgreSQL with pgvector, for libraries that outgrow one file or are shared by several machines.

Words are stems in a `tsvector`; BM25 (Robertson and Zaragoza 2009) is computed from them in SQL, for PostgreSQL's own
`ts_rank` knows nothing of how rare a word is. Meanings are a `vector` column with an HNSW index (Malkov and Yashunin
2016, 1603.09320), which is asked for the cosine.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from clearhead.errors import DataError, MissingDependencyError
from clearhead.executor import Floats
from clearhead.tasks.ask.passages import Passage
from clearhead.tasks.ask.store import LAYOUT, TITLE, File, Kind, Row, Scored, Store, as_passage, in_order

if TYPE_CHECKING:
    from psycopg import Connection

ADDRESS = re.compile(r"postgres(?:ql)?://", re.IGNORECASE)
K1, B = 1.2, 0.75  # the constants of BM25, as SQLite's FTS5 has them
WAIT = 10  # seconds for a server to answer
SEEN = 200  # neighbours that the index keeps in view while it searches: as many as are ever asked for
SCHEMA = "clearhead"
TABLES = """
create schema clearhead;
create table clearhead.kind (layout integer not null, encoder text not null, width integer not null,
    size integer not null);
create table clearhead.files (id bigserial primary key, path text not null unique, size bigint not null,
    mtime_ns bigint not null, sha256 text not null);
"""
PASSAGES = """
create table clearhead.passages (id bigserial primary key,
    file bigint not null references clearhead.files (id) on delete cascade, headings text not null,
    text text not null, line integer, page integer, words tsvector not null, length integer not null,
    meaning vector({width}) not null);
create index on clearhead.passages (file);
create index on clearhead.passages using gin (words);
create index on clearhead.passages using hnsw (meaning vector_cosine_ops);
"""
BM25 = """
with asked as (select distinct unnest(tsvector_to_array(to_tsvector('english', %(words)s))) as stem),
whole as (select count(*)::float as n, greatest(avg(length), 1)::float as mean from clearhead.passages),
known as (select a.stem, count(*)::float as df from asked a join clearhead.passages p
    on p.words @@ quote_literal(a.stem)::tsquery group by a.stem),
counted as (select p.id, p.length::float as length, u.lexeme as stem, array_length(u.positions, 1)::float as tf
    from clearhead.passages p, unnest(p.words) as u
    where p.words @@ (select string_agg(quote_literal(stem), ' | ')::tsquery from asked)
    and u.lexeme in (select stem from asked))
select c.id, sum(ln(1 + (w.n - k.df + 0.5) / (k.df + 0.5)) * c.tf * (%(k1)s + 1)
    / (c.tf + %(k1)s * (1 - %(b)s + %(b)s * c.length / w.mean))) as score
from counted c join known k using (stem) cross join whole w
group by c.id order by score desc, c.id limit %(limit)s
"""


def is_address(store: str) -> bool:
    """Whether a store is named by the address of a server."""
    return ADDRESS.match(store) is not None


def without_secrets(address: str) -> str:
    """An address as it may be shown: user, hosts and database, without a password and the parameters that may hold one
    (PostgreSQL, section 34.1.1.2).
    """
    scheme, _, rest = address.partition("://")
    place, slash, database = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    user, at, hosts = place.rpartition("@")
    return f"{scheme}://{user.partition(':')[0]}{at}{hosts}{slash}{database}"


class PostgresStore(Store):
    """Passages on a server, in the schema `clearhead` of a database."""

    def __init__(self, address: str) -> None:
        """Connect; make the schema where there is none.

        Raises:
            MissingDependencyError: psycopg is not installed.
            DataError: no such server, no rights, no pgvector, or a schema of another version.
        """
        self.name = without_secrets(address)
        try:
            import psycopg
        except ImportError:
            raise MissingDependencyError(
                "a store in PostgreSQL needs psycopg; install it with: pip install 'clearhead[postgres]'"
            ) from None
        with self.failures():
            self.base: Connection[Any] = psycopg.connect(address, autocommit=True, connect_timeout=WAIT)
        try:
            with self.failures():
                self.prepare()
        except DataError:
            self.base.close()
            raise

    def prepare(self) -> None:
        """Make the schema of a new database; refuse one of another version."""
        with self.base.transaction():
            self.base.execute("select pg_advisory_xact_lock(1131176289)")  # of two that come first, one makes it
            if self.one("select 1 from pg_available_extensions where name = 'vector'") is None:
                raise DataError(
                    f"{self.name} has no pgvector; install it on the server (Debian: postgresql-NN-pgvector)"
                )
            self.base.execute("create extension if not exists vector")
            if self.one("select 1 from pg_namespace where nspname = 'clearhead'") is None:
                self.base.execute(TABLES)
        row = self.one("select layout from clearhead.kind")
        if row is not None and row[0] != LAYOUT:
            raise DataError(
                f"{self.name} was written by another version of Clearhead; drop its schema clearhead and index again"
            )
        self.base.execute(f"set hnsw.ef_search = {SEEN}")

    def one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        """The first row of an answer."""
        return self.base.execute(query, values).fetchone()

    def kind(self) -> Kind | None:
        """See `Store`."""
        with self.failures():
            row = self.one("select encoder, width, size from clearhead.kind")
        return None if row is None else Kind(encoder=row[0], width=row[1], size=row[2])

    def begin(self, kind: Kind) -> None:
        """See `Store`."""
        with self.failures(), self.base.transaction():
            self.base.execute("lock table clearhead.kind in exclusive mode")
            if self.one("select 1 from clearhead.kind") is None:
                values = (LAYOUT, kind.encoder, kind.width, kind.size)
                self.base.execute("insert into clearhead.kind values (%s, %s, %s, %s)", values)
                self.base.execute(PASSAGES.format(width=int(kind.width)))

    def files(self) -> dict[str, File]:
        """See `Store`."""
        with self.failures():
            rows = self.base.execute("select path, size, mtime_ns, sha256 from clearhead.files").fetchall()
        return {row[0]: File(path=row[0], size=row[1], mtime_ns=row[2], sha256=row[3]) for row in rows}

    def replace(self, file: File, passages: Sequence[Passage], vectors: Floats) -> None:
        """See `Store`."""
        with self.failures(), self.base.transaction():
            row = self.one(  # two that enter one file take turns at its row
                "insert into clearhead.files (path, size, mtime_ns, sha256) values (%s, %s, %s, %s) "
                "on conflict (path) do update set size = excluded.size, mtime_ns = excluded.mtime_ns, "
                "sha256 = excluded.sha256 returning id",
                file.path, file.size, file.mtime_ns, file.sha256,
            )  # fmt: skip
            assert row is not None
            self.base.execute("delete from clearhead.passages where file = %s", (row[0],))
            with self.base.cursor() as cursor:
                cursor.executemany(
                    "insert into clearhead.passages (file, headings, text, line, page, words, length, meaning) "
                    "select %s, %s, %s, %s, %s, w, coalesce((select sum(array_length(u.positions, 1)) "
                    "from unnest(w) as u), 0), %s::vector from to_tsvector('english', %s) as w",
                    [
                        (row[0], json.dumps(p.headings), p.text, p.line, p.page, spelled(vector), searched(p))
                        for p, vector in zip(passages, vectors, strict=True)
                    ],
                )

    def touch(self, file: File) -> None:
        """See `Store`."""
        with self.failures():
            self.base.execute(
                "update clearhead.files set size = %s, mtime_ns = %s where path = %s",
                (file.size, file.mtime_ns, file.path),
            )

    def remove(self, paths: Iterable[str]) -> None:
        """See `Store`."""
        with self.failures():
            self.base.execute("delete from clearhead.files where path = any(%s)", (list(paths),))

    def by_words(self, words: str, limit: int) -> Scored:
        """See `Store`."""
        with self.failures():
            rows = self.base.execute(BM25, {"words": words, "k1": K1, "b": B, "limit": limit}).fetchall()
        return [(int(row[0]), float(row[1])) for row in rows]

    def by_meaning(self, vector: Floats, limit: int) -> Scored:
        """See `Store`. The index is approximate: of very many passages it may miss one."""
        with self.failures():
            rows = self.base.execute(
                "select id, 1 - (meaning <=> %(v)s::vector) from clearhead.passages order by meaning <=> %(v)s::vector "
                "limit %(limit)s",
                {"v": spelled(vector), "limit": limit},
            ).fetchall()
        return [(int(row[0]), float(row[1])) for row in rows]

    def passages(self, numbers: Sequence[int]) -> list[Passage]:
        """See `Store`."""
        fields = "p.id, f.path, p.text, p.headings, p.line, p.page"
        rows = self.rows(f"select {fields} from clearhead.passages p join clearhead.files f on f.id = p.file", numbers)
        return [as_passage(row) for row in rows]

    def vectors(self, numbers: Sequence[int]) -> Floats:
        """See `Store`."""
        rows = self.rows("select p.id, p.meaning::text from clearhead.passages p", numbers)
        return np.array([json.loads(row[1]) for row in rows], np.float32) if rows else np.zeros((0, 0), np.float32)

    def rows(self, select: str, numbers: Sequence[int]) -> list[Row]:
        """Rows that begin with the number of a passage, in the order of `numbers`."""
        with self.failures():
            return in_order(self.base.execute(f"{select} where p.id = any(%s)", (list(numbers),)), numbers)

    def count(self) -> int:
        """See `Store`."""
        with self.failures():
            if self.one("select to_regclass('clearhead.passages')") == (None,):
                return 0
            row = self.one("select count(*) from clearhead.passages")
        return 0 if row is None else int(row[0])

    @contextmanager
    def reading(self) -> Iterator[None]:
        """See `Store`."""
        with self.failures(), self.base.transaction():
            self.base.execute("set transaction isolation level repeatable read")
            yield

    @contextmanager
    def failures(self) -> Iterator[None]:
        """The server's errors as ours, in one line."""
        import psycopg

        try:
            yield
        except psycopg.Error as error:
            said = " ".join(str(error).split())[:200]
            raise DataError(f"the store {self.name} cannot be used: {said}") from None

    def close(self) -> None:
        """See `Store`."""
        self.base.close()


def searched(passage: Passage) -> str:
    """The words of a passage, those of its headings as often as they count."""
    return "\n".join([passage.title] * int(TITLE) + [passage.text])


def spelled(vector: Floats) -> str:
    """A vector as pgvector reads it."""
    return json.dumps([float(value) for value in vector])
