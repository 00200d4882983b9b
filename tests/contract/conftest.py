"""The stores that have to keep the contract: the same tests run with each."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from postgresql import Cluster
from strongroom.crypto.domain_keys import DomainKeys
from strongroom.problems import Problems
from strongroom.store.postgresql.store import PostgresqlStore
from strongroom.store.sqlite.engine import open_sqlite
from strongroom.store.sqlite.store import SqlStore

AnyStore = SqlStore | PostgresqlStore
TIME_LIMIT = 3.0


@pytest.fixture
def database(postgresql: Cluster) -> Iterator[str]:
    """Return the name of a PostgreSQL database of the test's own."""
    with postgresql.database() as name:
        yield name


@pytest.fixture
def postgresql_store(postgresql: Cluster, database: str, domain_keys: DomainKeys) -> Iterator[PostgresqlStore]:
    with closing(postgresql.store(database, time_limit=TIME_LIMIT)) as store:
        store.authenticate(domain_keys.row_keys, Problems())
        yield store


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> AnyStore:
    found: AnyStore = request.getfixturevalue(f"{request.param}_store")
    return found


@pytest.fixture
def other(
    store: AnyStore, tmp_path: Path, domain_keys: DomainKeys, request: pytest.FixtureRequest
) -> Iterator[AnyStore]:
    """Return the same store as another process sees it."""
    second: AnyStore
    if isinstance(store, SqlStore):
        second = SqlStore(open_sqlite(tmp_path / "strongroom.db"))
    else:
        cluster: Cluster = request.getfixturevalue("postgresql")
        second = cluster.store(request.getfixturevalue("database"), time_limit=TIME_LIMIT)
    with closing(second):
        second.authenticate(domain_keys.row_keys, Problems())
        yield second
