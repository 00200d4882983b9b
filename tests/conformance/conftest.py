"""A real server over a real socket, and the clients people use."""

from collections.abc import Iterator

import pytest
from mypy_boto3_iam.client import IAMClient
from mypy_boto3_kms.client import KMSClient

from accounts import Account
from clients import client_of, client_with, credentials_of
from custom_stores import OWNER, Stores
from identities import Identities
from local_server import RunningServer
from multi_region_keys import EAST, SOUTH, WEST, new_primary
from shared_keys import SharedKeys
from stores import Serving
from xks_stub import XksStub


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, xks_stub: XksStub, serving: Serving) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("server")
    options = ("--config", str(xks_stub.written(folder)), "--region", "us-east-1", "--region", "eu-west-1")
    with serving(folder / "data", folder / "log", *options) as server:
        yield server
        assert server.stop() == 0
    log = (folder / "log").read_text()
    assert "Traceback" not in log
    assert "ERROR" not in log


@pytest.fixture(scope="session")
def kms(server: RunningServer) -> KMSClient:
    return client_of(server)


@pytest.fixture(scope="session")
def iam(server: RunningServer) -> IAMClient:
    return client_with(server, "iam", credentials_of(server))


@pytest.fixture(scope="session")
def identities(server: RunningServer, iam: IAMClient) -> Identities:
    return Identities(server, iam)


@pytest.fixture(scope="session")
def away(server: RunningServer) -> Account:
    """Return another account of the same server."""
    return Account(server, "444455556666")


@pytest.fixture
def key_id(kms: KMSClient) -> str:
    return kms.create_key()["KeyMetadata"]["KeyId"]


@pytest.fixture(scope="session")
def keys(kms: KMSClient) -> SharedKeys:
    return SharedKeys(kms)


@pytest.fixture(scope="session")
def owner(server: RunningServer) -> Account:
    """Return an account that has no custom key stores but those of the test that runs."""
    return Account(server, OWNER)


@pytest.fixture
def stores(owner: Account) -> Iterator[Stores]:
    stores = Stores(owner.kms)
    yield stores
    stores.clear()
    assert owner.kms.describe_custom_key_stores()["CustomKeyStores"] == []


@pytest.fixture(scope="session")
def three_regions(tmp_path_factory: pytest.TempPathFactory, serving: Serving) -> Iterator[RunningServer]:
    """A server of its own for what reaches across Regions."""
    folder = tmp_path_factory.mktemp("regions")
    options = [option for region in (EAST, WEST, SOUTH) for option in ("--region", region)]
    with serving(folder / "data", folder / "log", *options) as server:
        yield server
        assert server.stop() == 0
    assert "Traceback" not in (folder / "log").read_text()


@pytest.fixture(scope="session")
def east(three_regions: RunningServer) -> KMSClient:
    return client_of(three_regions, EAST)


@pytest.fixture(scope="session")
def west(three_regions: RunningServer) -> KMSClient:
    return client_of(three_regions, WEST)


@pytest.fixture(scope="session")
def south(three_regions: RunningServer) -> KMSClient:
    return client_of(three_regions, SOUTH)


@pytest.fixture
def pair(east: KMSClient) -> str:
    """Return the id of a symmetric primary in us-east-1 that has a replica in eu-west-1."""
    key_id = new_primary(east)
    east.replicate_key(KeyId=key_id, ReplicaRegion=WEST)
    return key_id
