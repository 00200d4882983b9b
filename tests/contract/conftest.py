"""Back ends that share one contract.

Of keys: the simulator of hardware, and tokens in root and full depth, a proxy. Of stores: SQLite and PostgreSQL.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from full_depth import full_depth
from local_deployment import entropy
from postgresql import Cluster
from root_depth import root_depth
from strongroom.crypto.domain_keys import DomainKeys
from strongroom.crypto.hsm.key_backend import HsmKeyBackend
from strongroom.crypto.key_backend import KeyBackend
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.crypto.software.key_backend import SoftwareKeyBackend
from strongroom.problems import Problems
from strongroom.store.postgresql.store import PostgresqlStore
from strongroom.store.sqlite.engine import open_sqlite
from strongroom.store.sqlite.store import SqlStore
from token_backend import TokenBackend
from xks_scene import NamedExternally, XksScene
from xks_stub import XksStub

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


@pytest.fixture(scope="module")
def token_backend() -> Iterator[TokenBackend]:
    token = TokenBackend(entropy)
    yield token
    assert token.misuses == []


@pytest.fixture(scope="module")
def root_depth_backend() -> Iterator[SoftwareKeyBackend]:
    with root_depth() as depth:
        yield depth.backend


@pytest.fixture(scope="module")
def softhsm_full_depth() -> Iterator[HsmKeyBackend]:
    with full_depth("softhsm") as depth:
        yield depth.backend


@pytest.fixture(scope="module")
def nss_full_depth() -> Iterator[HsmKeyBackend]:
    with full_depth("nss") as depth:
        yield depth.backend


@pytest.fixture(scope="module")
def external_backend(
    xks_stub: XksStub, key_backend: SoftwareKeyBackend, service_secrets: ServiceSecrets
) -> Iterator[KeyBackend]:
    scene = XksScene(xks_stub, key_backend, service_secrets)
    yield NamedExternally(scene)
    scene.proxies.close()
