"""Fixtures that several folders share: a manual clock, a key back end and a store. It also cleans the environment."""

import gc
import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from empty_database import put_empty_database
from postgresql import Cluster, prepared_cluster
from strongroom.clock import ManualClock
from strongroom.crypto.domain_keys import IAM_SCOPE, DomainKeys, create_domain_key
from strongroom.crypto.key_backends import KeyBackends
from strongroom.crypto.seals.root_key import RootKey, RootKeySeal
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.crypto.software.key_backend import SoftwareKeyBackend
from strongroom.problems import Problems
from strongroom.store.sqlite.engine import open_sqlite
from strongroom.store.sqlite.store import SqlStore
from xks_stub import XksStub, named_certificate

pytest_plugins = ("depths", "measuring", "stores")

NOW = 1_790_000_000.0
REGIONS = ("us-east-1", "eu-west-1")

entropy = os.urandom  # noqa: TID251 - real randomness


# No deadline for Hypothesis examples: a busy machine makes them slow. Where CI is set, they are the same each time.
settings.register_profile("patient", settings(deadline=None, suppress_health_check=[HealthCheck.too_slow]))
settings.load_profile("patient")

# Tests must not use the AWS configuration, the server settings or the proxy of the user who runs them.
for name in [*os.environ]:
    if name.startswith(("AWS_", "STRONGROOM_", "OTEL_")):
        del os.environ[name]
os.environ["AWS_CONFIG_FILE"] = os.devnull
for name in ("no_proxy", "NO_PROXY"):
    os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost"]))

# Servers and commands keep the bytecode of our modules: to compile them is half of the start of a process.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell script starts what runs in the background with SIGINT ignored, and the processes of tests would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# One worker by default, so that its audit log has all calls in order. tests/crash/test_workers.py sets several.
os.environ["STRONGROOM_WORKERS"] = "1"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect tests without garbage collections; later ones pass over the million objects that this makes."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture(scope="session")
def domain_keys() -> DomainKeys:
    seal = RootKeySeal(RootKey(bytes(32)), entropy)
    keys = [create_domain_key(scope, 1, seal, entropy) for scope in (IAM_SCOPE, *REGIONS)]
    return DomainKeys(keys, seal, entropy)


@pytest.fixture(scope="session")
def key_backend(domain_keys: DomainKeys) -> SoftwareKeyBackend:
    return SoftwareKeyBackend(domain_keys, entropy)


@pytest.fixture(scope="session")
def key_backends(key_backend: SoftwareKeyBackend) -> KeyBackends:
    return KeyBackends(key_backend)


@pytest.fixture(scope="session")
def service_secrets(domain_keys: DomainKeys) -> ServiceSecrets:
    return ServiceSecrets(domain_keys)


@pytest.fixture(scope="session")
def xks_stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[XksStub]:
    """Return an external key store proxy without faults. Tests that make it fail start their own."""
    with XksStub(named_certificate(tmp_path_factory.mktemp("proxy"), "proxy")) as stub:
        yield stub


@pytest.fixture
def store(sqlite_store: SqlStore) -> SqlStore:
    return sqlite_store


@pytest.fixture
def sqlite_store(tmp_path: Path, domain_keys: DomainKeys) -> Iterator[SqlStore]:
    put_empty_database(tmp_path / "strongroom.db")
    store = SqlStore(open_sqlite(tmp_path / "strongroom.db"))
    store.authenticate(domain_keys.row_keys, Problems())
    yield store
    store.close()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """Return a PostgreSQL server, one for each test process."""
    with prepared_cluster() as cluster:
        yield cluster
