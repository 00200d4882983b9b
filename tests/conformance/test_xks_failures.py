"""Every failure of an external key store proxy, in every operation that calls one: exceptions and words are KMS's."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mypy_boto3_kms.client import KMSClient

from accounts import last_record
from client_errors import error_of
from clients import client_of
from custom_stores import PROXY, Stores
from local_server import RunningServer, running_server
from tls_files import Pair
from xks_stub import HOSTS, Fault, XksStub, named_certificate
from xks_table import TABLE, Row

PATIENCE = 10.0
"""Seconds for a call of the proxy: it runs in the process of the test, which may have to wait for a processor."""
IMPATIENCE = 0.3
STATUSES = {
    **dict.fromkeys(("Validation", "InvalidState", "InvalidCiphertext", "InvalidKeyUsage"), 400),
    "AuthenticationFailed": 401,
    "AccessDenied": 403,
    "KeyNotFound": 404,
    "InvalidUriPath": 404,
    "Throttling": 429,
    "Internal": 500,
    "UnsupportedOperation": 501,
    "DependencyTimeout": 503,
}
ROWS = {row.failure: row for row in TABLE}
MALFORMED = ROWS["Proxy returns a malformed response"]
UNREACHABLE = ROWS["AWS KMS cannot establish a TCP connection"]


class Scene(NamedTuple):
    """A server, its proxy, and a key in an external key store of the proxy, with a ciphertext."""

    server: RunningServer
    stub: XksStub
    stores: Stores
    store_id: str
    key_id: str
    blob: bytes
    other_key: str
    other_blob: bytes
    certificates: dict[str, Pair]

    @property
    def kms(self) -> KMSClient:
        return self.stores.kms


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    folder, others = tmp_path_factory.mktemp("tls"), {"elsewhere": ("elsewhere.example.com",), "untrusted": HOSTS}
    certificates = {name: named_certificate(folder, name, hosts) for name, hosts in others.items()}
    certificates["proxy"] = named_certificate(folder, "proxy")
    # The authority of the certificate for another name is trusted, so that only the name is wrong.
    with certificates["proxy"].certificate.open("a") as authorities:
        authorities.write(certificates["elsewhere"].certificate.read_text())
    return certificates


@contextmanager
def serving(folder: Path, stub: XksStub, timeout: float) -> Iterator[RunningServer]:
    config = str(stub.written(folder, timeout=timeout))
    with running_server(folder / "data", folder / "log", "--config", config) as server:
        yield server
        assert server.stop() == 0
    log = (folder / "log").read_text()
    assert "Traceback" not in log
    assert "ERROR" not in log


def scene_of(server: RunningServer, stub: XksStub, certificates: dict[str, Pair]) -> Scene:
    stores = Stores(client_of(server))
    store_id = stores.new("store", **PROXY)
    stores.kms.connect_custom_key_store(CustomKeyStoreId=store_id)
    where: dict[str, Any] = {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": store_id}
    key_id = stores.kms.create_key(**where, XksKeyId=stub.new_key("one"))["KeyMetadata"]["KeyId"]
    blob = stores.kms.encrypt(KeyId=key_id, Plaintext=b"data")["CiphertextBlob"]
    stub.new_key("two")
    other_key = stores.kms.create_key()["KeyMetadata"]["KeyId"]
    other_blob = stores.kms.encrypt(KeyId=other_key, Plaintext=b"data")["CiphertextBlob"]
    return Scene(server, stub, stores, store_id, key_id, blob, other_key, other_blob, certificates)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, certificates: dict[str, Pair]) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("proxies")
    with XksStub(certificates["proxy"]) as stub, serving(folder, stub, PATIENCE) as server:
        scene = scene_of(server, stub, certificates)
        yield scene
        assert scene.kms.decrypt(CiphertextBlob=scene.blob)["Plaintext"] == b"data"


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory, certificates: dict[str, Pair]) -> Iterator[Scene]:
    """A server that soon gives up on a proxy that does not answer."""
    folder = tmp_path_factory.mktemp("impatient")
    with XksStub(certificates["proxy"]) as stub:
        with serving(folder, stub, PATIENCE) as server:
            scene = scene_of(server, stub, certificates)
        with serving(folder, stub, IMPATIENCE) as server:
            yield scene._replace(server=server, stores=Stores(client_of(server)))


Call = Callable[[], object]


def calls(scene: Scene, column: str) -> dict[str, Call]:
    """Return the calls that a column of the table is about; each of them calls the proxy."""
    kms, one, two = scene.kms, scene.key_id, scene.other_key
    where: dict[str, Any] = {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": scene.store_id}
    new = {**PROXY, "XksProxyUriPath": "/new/kms/xks/v1"}
    by_column: dict[str, dict[str, Call]] = {
        "store": {
            "Create": partial(kms.create_custom_key_store, CustomKeyStoreName="new", **new),
            "Update": partial(
                kms.update_custom_key_store, CustomKeyStoreId=scene.store_id, XksProxyUriPath="/new/kms/xks/v1"
            ),
        },
        "key": {"CreateKey": partial(kms.create_key, **where, XksKeyId="two")},
        "use": {
            "Encrypt": partial(kms.encrypt, KeyId=one, Plaintext=b"data"),
            "GenerateDataKey": partial(kms.generate_data_key, KeyId=one, KeySpec="AES_256"),
            "WithoutPlaintext": partial(kms.generate_data_key_without_plaintext, KeyId=one, NumberOfBytes=7),
            "ReEncrypt to": partial(kms.re_encrypt, CiphertextBlob=scene.other_blob, DestinationKeyId=one),
        },
        "decrypt": {
            "Decrypt": partial(kms.decrypt, CiphertextBlob=scene.blob),
            "ReEncrypt from": partial(kms.re_encrypt, CiphertextBlob=scene.blob, DestinationKeyId=two),
        },
    }
    return by_column[column]


PATHS = {"store": "health", "key": "metadata", "use": "encrypt", "decrypt": "decrypt"}


@contextmanager
def faulty(scene: Scene, **faults: Fault) -> Iterator[None]:
    scene.stub.faults.update(faults)
    try:
        yield
    finally:
        scene.stub.faults.clear()


def arranged(scene: Scene, row: Row, path: str) -> AbstractContextManager[None]:
    """Return a context in which a call of the proxy fails as a row of the table says."""
    failure = row.failure
    for name, status in STATUSES.items():
        if f" {name}Exception" in failure:
            return faulty(scene, **{path: Fault(status=status, error=f"{name}Exception")})
    others: dict[str, Callable[[], AbstractContextManager[None]]] = {
        "invalid ciphertext": lambda: faulty(scene, decrypt=Fault(edit=with_other_plaintext)),
        "TCP": scene.stub.down,
        "TLS": lambda: scene.stub.certified(scene.certificates["untrusted"]),
        "timeout": lambda: faulty(scene, **{path: Fault(after=IMPATIENCE + 0.1)}),
        "malformed": lambda: faulty(scene, **{path: Fault(edit=lambda _: {"wrong": 1})}),
        "not in CONNECTED": lambda: disconnected(scene),
    }
    return next(arrange for words, arrange in others.items() if words in failure)()


def with_other_plaintext(reply: dict[str, Any]) -> dict[str, Any]:
    whole = b64decode(reply["plaintext"])
    return {"plaintext": b64encode(whole[:-1] + bytes((whole[-1] ^ 1,))).decode()}


@contextmanager
def disconnected(scene: Scene) -> Iterator[None]:
    scene.kms.disconnect_custom_key_store(CustomKeyStoreId=scene.store_id)
    try:
        yield
    finally:
        scene.kms.connect_custom_key_store(CustomKeyStoreId=scene.store_id)


CASES = [
    (row, column)
    for row in TABLE
    for column in ("store", "key", "use", "decrypt")
    if column == "decrypt" or "invalid ciphertext" not in row.failure
    if column != "store" or "not in CONNECTED" not in row.failure
]


@pytest.mark.parametrize(("row", "column"), CASES, ids=[f"{row.failure}, {column}" for row, column in CASES])
def test_each_row_of_the_table(request: pytest.FixtureRequest, row: Row, column: str) -> None:
    scene: Scene = request.getfixturevalue("impatient" if "timeout" in row.failure else "scene")
    code = getattr(row, column) or (row.use if column == "decrypt" else None)
    if code is None:
        # The guide names no such answer for these operations, so the answer is one that cannot be interpreted.
        row, code = MALFORMED._replace(failure=row.failure), getattr(MALFORMED, column) or MALFORMED.use
    with arranged(scene, row, PATHS[column]):
        for name, call in calls(scene, column).items():
            refused = error_of(call)
            assert (refused["Code"], refused["Message"]) == (code, row.message), name


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
MALFORMED_ANSWERS = {
    "no JSON": Fault(content_type="text/html"),
    "half JSON": Fault(raw=HEAD + b'content-length: 10\r\n\r\n{"cipherte'),
    "half an answer": Fault(raw=HEAD + b"content-length: 99\r\n\r\n{"),
    "half a head": Fault(raw=b"HTTP/1.1 200 OK\r\ncontent-type: appli"),
    "no HTTP": Fault(raw=b"220 smtp.example.com ESMTP\r\n"),
    "too much": Fault(edit=lambda reply: {**reply, "more": "x" * 70_000}),
    "too many headers": Fault(headers={f"x-{n}": "y" * 1000 for n in range(70)}),
    "another type": Fault(edit=lambda reply: dict.fromkeys(reply, 1)),
    "no members": Fault(edit=lambda _: {}),
    "an unknown error": Fault(status=400, error="SomethingElseException"),
    "an error without a name": Fault(status=500),
    "an error that is HTML": Fault(status=503, content_type="text/html"),
    "a redirect": Fault(status=302, headers={"location": "https://third.example.com/one/kms/xks/v1/health"}),
    "an upgrade": Fault(status=101, headers={"upgrade": "websocket", "connection": "upgrade"}),
}


@pytest.mark.parametrize("column", ["store", "key", "use", "decrypt"])
@pytest.mark.parametrize("fault", MALFORMED_ANSWERS.values(), ids=MALFORMED_ANSWERS)
def test_answers_that_are_not_as_specified(scene: Scene, fault: Fault, column: str) -> None:
    before = len(scene.stub.requests)
    with faulty(scene, **{PATHS[column]: fault}):
        (name, call), *_ = calls(scene, column).items()
        refused = error_of(call)
    assert refused["Message"] == MALFORMED.message, name
    assert refused["Code"] == (getattr(MALFORMED, column) or MALFORMED.use)
    # One try, and no redirect was followed.
    assert len(scene.stub.requests) == before + 1


def member(name: str, value: Any) -> Fault:
    return Fault(edit=lambda reply: {**reply, name: value})


def without(name: str) -> Fault:
    return Fault(edit=lambda reply: {key: value for key, value in reply.items() if key != name})


WRONG_MEMBERS = {
    "use": {
        "short ciphertext": Fault(edit=lambda reply: {**reply, "ciphertext": reply["ciphertext"][4:]}),
        "long ciphertext": Fault(edit=lambda reply: {**reply, "ciphertext": "AAAA" + reply["ciphertext"]}),
        "IV of 11 bytes": member("initializationVector", "A" * 14 + "A="),
        "IV of 15 bytes": member("initializationVector", "A" * 20),
        "short tag": member("authenticationTag", "A" * 20),
        "long metadata": member("ciphertextMetadata", "A" * 28),
        "metadata is not base64": member("ciphertextMetadata", "*"),
        "line breaks": Fault(edit=lambda reply: {**reply, "ciphertext": reply["ciphertext"] + "\n"}),
        "URL-safe base64": member("authenticationTag", "__________________________=="),
        "stray bits": member("authenticationTag", "A" * 21 + "B=="),
        "wrong integrity value": member("ciphertextDataIntegrityValue", "A" * 43 + "="),
        "no integrity value": without("ciphertextDataIntegrityValue"),
        "other metadata": member("ciphertextMetadata", "AAAA"),
    },
    "decrypt": {
        "short plaintext": Fault(edit=lambda reply: {"plaintext": reply["plaintext"][4:]}),
        "plaintext is not base64": member("plaintext", "*"),
        "no plaintext": member("plaintext", None),
    },
    "key": {"a status of another kind": member("keyStatus", "SLEEPING"), "no usages": without("keyUsage")},
    "store": {
        "no fleet": member("xksProxyFleetSize", 0),
        "no managers": member("ekmFleetDetails", []),
        "a health of another kind": member("ekmFleetDetails", [{"id": "1", "model": "m", "healthStatus": "GREEN"}]),
        "no vendor": without("ekmVendor"),
    },
}


@pytest.mark.parametrize(
    ("column", "fault"),
    [(column, fault) for column, faults in WRONG_MEMBERS.items() for fault in faults.values()],
    ids=[f"{column}, {name}" for column, faults in WRONG_MEMBERS.items() for name in faults],
)
def test_members_that_are_not_as_specified(scene: Scene, column: str, fault: Fault) -> None:
    with faulty(scene, **{PATHS[column]: fault}):
        for name, call in calls(scene, column).items():
            assert error_of(call)["Message"] == MALFORMED.message, name


def test_a_connection_that_ends_before_an_answer(scene: Scene) -> None:
    for column, path in PATHS.items():
        with faulty(scene, **{path: Fault(raw=b"")}):
            for name, call in calls(scene, column).items():
                assert error_of(call)["Message"] == UNREACHABLE.message, name


def test_a_certificate_for_another_name_is_refused(scene: Scene) -> None:
    row = ROWS["AWS KMS cannot establish a TLS connection"]
    with scene.stub.certified(scene.certificates["elsewhere"]):
        for column in PATHS:
            for name, call in calls(scene, column).items():
                assert error_of(call)["Message"] == row.message, name


def test_keys_that_cannot_be_behind_a_kms_key(scene: Scene) -> None:
    where: dict[str, Any] = {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": scene.store_id}
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "of another spec": ({"spec": "AES_128"}, "must be an AES-256 symmetric key"),
        "disabled": ({"status": "DISABLED"}, "is not enabled in the external key manager"),
        "only encrypts": ({"usage": ("ENCRYPT",)}, "does not support the requested operation"),
        "only decrypts": ({"usage": ("DECRYPT", "WRAP")}, "does not support the requested operation"),
    }
    for number, (properties, words) in enumerate(cases.values()):
        external_id = scene.stub.new_key(f"unfit-{number}", **properties)
        refused = error_of(scene.kms.create_key, **where, XksKeyId=external_id)
        assert refused["Code"] == "XksKeyInvalidConfigurationException"
        assert words in refused["Message"]
    assert error_of(scene.kms.create_key, **where, XksKeyId="absent")["Code"] == "XksKeyNotFoundException"


def managers(*states: str) -> Fault:
    return member("ekmFleetDetails", [{"id": "", "model": "", "healthStatus": state} for state in states])


HEALTH: dict[str, tuple[Fault, str | None]] = {
    "one is healthy": (managers("UNAVAILABLE", "ACTIVE"), None),
    "degraded": (managers("DEGRADED"), None),
    "no manager": (managers("UNAVAILABLE", "UNAVAILABLE"), "XKS_PROXY_NOT_REACHABLE"),
    "no JSON": (Fault(content_type="text/plain"), "XKS_PROXY_INVALID_RESPONSE"),
    **{
        name: (Fault(status=STATUSES[name], error=f"{name}Exception"), code)
        for name, code in {
            "AuthenticationFailed": "XKS_PROXY_ACCESS_DENIED",
            "InvalidUriPath": "XKS_PROXY_INVALID_CONFIGURATION",
            "DependencyTimeout": "XKS_PROXY_TIMED_OUT",
            "Throttling": "XKS_PROXY_NOT_REACHABLE",
            "Internal": "XKS_PROXY_INVALID_RESPONSE",
            "Validation": "XKS_PROXY_INVALID_RESPONSE",
        }.items()
    },
}


def require_outcome(scene: Scene, arranged: AbstractContextManager[None], code: str | None) -> None:
    """Connect the store, which ends in a state with an error code; leave it connected."""
    scene.kms.disconnect_custom_key_store(CustomKeyStoreId=scene.store_id)
    try:
        with arranged:
            scene.kms.connect_custom_key_store(CustomKeyStoreId=scene.store_id)
        assert scene.stores.state(scene.store_id) == ("CONNECTED" if code is None else "FAILED", code)
    finally:
        scene.kms.disconnect_custom_key_store(CustomKeyStoreId=scene.store_id)
        scene.kms.connect_custom_key_store(CustomKeyStoreId=scene.store_id)


@pytest.mark.parametrize(("fault", "code"), HEALTH.values(), ids=HEALTH)
def test_why_a_store_could_not_be_connected(scene: Scene, fault: Fault, code: str | None) -> None:
    require_outcome(scene, faulty(scene, health=fault), code)


def test_a_store_whose_proxy_is_slow_is_not_connected(impatient: Scene) -> None:
    require_outcome(impatient, faulty(impatient, health=Fault(after=IMPATIENCE + 0.1)), "XKS_PROXY_TIMED_OUT")


def test_a_store_whose_proxy_is_down_or_not_trusted_is_not_connected(scene: Scene) -> None:
    require_outcome(scene, scene.stub.down(), "XKS_PROXY_NOT_REACHABLE")
    untrusted = scene.stub.certified(scene.certificates["untrusted"])
    require_outcome(scene, untrusted, "XKS_PROXY_INVALID_TLS_CONFIGURATION")


def test_a_host_that_the_operator_does_not_list_is_not_called(scene: Scene) -> None:
    for endpoint in ("https://elsewhere.example.com", "https://localhost", "https://127.0.0.1"):
        asked = {**PROXY, "XksProxyUriEndpoint": endpoint}
        refused = error_of(scene.kms.create_custom_key_store, CustomKeyStoreName="new", **asked)
        assert refused["Code"] == "XksProxyUriUnreachableException"
        assert refused["Message"] == UNREACHABLE.message
        found = last_record(scene.server)["additionalEventData"]
        assert found["reason"] == f"the setting xks-proxies does not list {endpoint[8:]}"


def test_the_record_of_a_refused_call_tells_why_and_no_more(scene: Scene) -> None:
    with faulty(scene, encrypt=Fault(status=403, error="AccessDeniedException")):
        error_of(scene.kms.encrypt, KeyId=scene.key_id, Plaintext=b"data")
    record = last_record(scene.server)
    assert record["additionalEventData"] == {
        "xksProxyFailure": "AccessDeniedException",
        "reason": "HTTP status 403",
        "customKeyStoreId": scene.store_id,
        "xksKeyId": "one",
    }
    assert "a message for administrators" not in json.dumps(record)
