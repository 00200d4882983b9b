"""A proxy that accepts connections and never answers slows no call that needs none, nor other key stores."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from mypy_boto3_kms.client import KMSClient

from client_errors import error_code_of
from clients import client_of
from custom_stores import PROXY
from local_server import RunningServer, running_server
from scrapes import scrape_until
from server_processes import wait_until
from xks_stub import Fault, XksStub, named_certificate

CALLERS = 24
CALLS = 100
DEADLINE = 3.0
"""Seconds for a call of a proxy: many times as long as one takes, also on a busy machine."""


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[XksStub]:
    with XksStub(named_certificate(tmp_path_factory.mktemp("dead"), "proxy")) as stub:
        yield stub


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@contextmanager
def serving(folder: Path, log: Path, stub: XksStub, timeout: float = DEADLINE) -> Iterator[RunningServer]:
    config = stub.written(folder, timeout=timeout)
    options = ("--config", str(config), "--metrics-listen", "127.0.0.1:0")
    with running_server(folder / "data", log, *options) as server:
        yield server
        assert server.stop() == 0
    assert "Traceback" not in log.read_text()


@pytest.fixture
def kms(tmp_path: Path, log: Path, stub: XksStub) -> Iterator[KMSClient]:
    with serving(tmp_path, log, stub) as server:
        yield client_of(server)
        stub.faults.clear()


def external_key(kms: KMSClient, stub: XksStub, name: str) -> str:
    store = kms.create_custom_key_store(
        CustomKeyStoreName=name,
        **{**PROXY, "XksProxyUriEndpoint": f"https://{name}.example.com"},
    )["CustomKeyStoreId"]
    kms.connect_custom_key_store(CustomKeyStoreId=store)
    where: dict[str, Any] = {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": store}
    return kms.create_key(**where, XksKeyId=stub.new_key(f"key-{name}"))["KeyMetadata"]["KeyId"]


def seconds_of_a_call(kms: KMSClient, key_id: str) -> float:
    """Return how long a call of Encrypt takes: the median of many, which no pause of a busy machine changes."""
    took = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        kms.encrypt(KeyId=key_id, Plaintext=b"data")
        took.append(time.perf_counter() - begun)
    return median(took)


def test_a_proxy_that_never_answers_slows_no_other_call(kms: KMSClient, stub: XksStub, log: Path) -> None:
    plain = kms.create_key()["KeyMetadata"]["KeyId"]
    dead, alive = external_key(kms, stub, "proxy"), external_key(kms, stub, "another")
    released, stop = threading.Event(), threading.Event()
    stub.faults["key-proxy/encrypt"] = Fault(wait_for=released)
    refusals: list[str] = []

    def storm() -> None:
        while not stop.is_set():
            refusals.append(error_code_of(kms.encrypt, KeyId=dead, Plaintext=b"data"))
            time.sleep(0.1)

    threads = [threading.Thread(target=storm) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(refusals) >= CALLERS)
    try:
        assert seconds_of_a_call(kms, plain) < DEADLINE / 4
        assert seconds_of_a_call(kms, alive) < DEADLINE / 4
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        stub.faults.clear()
        released.set()
    # Most do not wait for the deadline.
    assert set(refusals) == {"KMSInvalidStateException", "ThrottlingException"}
    assert "does not answer" in log.read_text()
    # It is found at once when the proxy answers again.
    blob = kms.encrypt(KeyId=dead, Plaintext=b"back")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"back"
    assert "answers again" in log.read_text()


def test_the_deadline_is_a_quarter_of_a_second(tmp_path: Path, log: Path, stub: XksStub) -> None:
    with serving(tmp_path, log, stub) as server:
        key_id = external_key(client_of(server), stub, "proxy")
    # The default.
    with serving(tmp_path, log, stub, 0.25) as server:
        kms = client_of(server)
        # A busy machine may be late itself, but not each time.
        wait_until(lambda: outcome_of(kms, stub, key_id, 0.1) == "")
        begun = time.perf_counter()
        assert "did not respond in time" in outcome_of(kms, stub, key_id, 0.26)
        assert time.perf_counter() - begun > 0.24


def outcome_of(kms: KMSClient, stub: XksStub, key_id: str, after: float) -> str:
    """Encrypt while the proxy answers after some seconds; return why that failed, nothing if it did not."""
    stub.faults["encrypt"] = Fault(after=after)
    try:
        kms.encrypt(KeyId=key_id, Plaintext=b"data")
    except kms.exceptions.KMSInvalidStateException as error:
        return str(error)
    finally:
        stub.faults.clear()
    return ""


def test_the_keeper_asks_for_health_and_changes_no_state(tmp_path: Path, log: Path, stub: XksStub) -> None:
    with serving(tmp_path, log, stub) as server:
        key_id = external_key(client_of(server), stub, "proxy")
    stub.managers = ["UNAVAILABLE"]
    before = len(stub.requests)
    try:
        with serving(tmp_path, log, stub) as server:
            kms = client_of(server)
            shown = scrape_until(server, lambda shown: any(shown.samples("strongroom_xks_proxy_healthy")))
            (store,) = kms.describe_custom_key_stores()["CustomKeyStores"]
            store_id = store["CustomKeyStoreId"]
            assert shown.sum("strongroom_xks_proxy_healthy", custom_key_store=store_id) == 0
            outcome = {"call": "health", "outcome": "KeyManagersUnavailable"}
            assert shown.sum("strongroom_xks_proxy_calls_total", **outcome) == 1
            assert store["ConnectionState"] == "CONNECTED"
            kms.encrypt(KeyId=key_id, Plaintext=b"data")
            assert f"the proxy of custom key store {store_id} is not healthy: KeyManagersUnavailable" in log.read_text()
    finally:
        stub.managers = ["ACTIVE"]
    asked = [each for each in stub.requests[before:] if each[1]["requestMetadata"]["kmsOperation"] == "KmsHealthCheck"]
    assert [path for path, _ in asked] == ["/one/kms/xks/v1/health"]
