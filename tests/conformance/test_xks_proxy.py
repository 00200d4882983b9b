"""Every case of AWS's test client for external key store proxies, over TLS and over mutual TLS.

The client is aws-samples/aws-kms-xksproxy-test-client 1.1.0, with the option ``-a``. ``tools/xks-test-client`` runs it.
"""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import Credentials

from local_server import running_server
from tls_files import Pair, self_signed, signed_by
from xks_calls import PREFIX, XksReply, decrypt_body, encrypt_body, metadata
from xks_processes import XksClient, exported, make_proxy, running_proxy

TEXT = b"plaintext\n"
SENT = b"project=nile,department=marketing"
OTHER = b"project=blue,department=finance"
INTEGRITY: dict[str, Any] = {"ciphertextDataIntegrityValueAlgorithm": "SHA_256"}
NO_INTEGRITY: dict[str, Any] = {}
KMS = "cks.kms.us-east-1.amazonaws.com"

CASES_OF_THE_CLIENT = 49


def context_of(server: Pair, client: Pair | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(server.certificate))
    if client is not None:
        context.load_cert_chain(client.certificate, client.key)
    return context


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("xks")


@pytest.fixture(scope="module")
def made(folder: Path) -> Iterator[Path]:
    """Return a data folder with a proxy; the server that has made it runs."""
    with running_server(folder / "data", folder / "log") as server:
        make_proxy(server, folder / "data")
        yield folder / "data"
        assert server.stop() == 0


@pytest.fixture(scope="module", params=["tls", "mutual tls"])
def client(made: Path, folder: Path, request: pytest.FixtureRequest) -> Iterator[XksClient]:
    pair = self_signed(folder, "proxy")
    options, own = pair.options, None
    if request.param == "mutual tls":
        authority = self_signed(folder, "authority")
        own = signed_by(authority, folder, KMS)
        options = (*options, "--tls-client-ca", str(authority.certificate))
    log = folder / f"{request.param}.log"
    with running_proxy(made, log, *options) as proxy:
        assert proxy.url.startswith("https://")
        yield XksClient(proxy, exported(made), context_of(pair, own))
        assert proxy.stop() == 0
    assert log.read_text() == ""


def changed(client: XksClient, what: str) -> dict[str, Any]:
    """Return what a case changes: the id or the secret of the credential, or the prefix."""
    known = client.credentials
    id_, secret = str(known.access_key), str(known.secret_key)
    changes: dict[str, dict[str, Any]] = {
        "": {},
        "id": {"credentials": Credentials(f"Invalid{id_}", secret)},
        "secret": {"credentials": Credentials(id_, f"Invalid{secret}")},
        "prefix": {"prefix": f"{PREFIX}/invalid"},
    }
    return changes[what]


EMPTY: dict[str, Any] = {"requestMetadata": {}}
UNAUTHENTICATED = (401, "AuthenticationFailedException")
NO_PATH = (404, "InvalidUriPathException")
INVALID = (400, "ValidationException")
NO_KEY = (404, "KeyNotFoundException")
WRONG_USAGE = (400, "InvalidKeyUsageException")
WRONG_CIPHERTEXT = (400, "InvalidCiphertextException")
OK = (200, "")
HEALTH = metadata("KmsHealthCheck", awsPrincipalArn=None, kmsKeyArn=None, kmsViaService=None)

SINGLE: list[tuple[str, dict[str, Any], str, tuple[int, str]]] = [
    ("health", HEALTH, "", OK),
    ("health", {}, "", INVALID),
    ("health", EMPTY, "", INVALID),
    ("health", HEALTH, "id", UNAUTHENTICATED),
    ("health", HEALTH, "secret", UNAUTHENTICATED),
    ("health", HEALTH, "prefix", NO_PATH),
    ("keys/foo/metadata", metadata("DescribeKey"), "", OK),
    ("keys/foo/metadata", metadata("CreateKey"), "", OK),
    ("keys/foo/metadata", {}, "", INVALID),
    ("keys/foo/metadata", EMPTY, "", INVALID),
    ("keys/non_existing_key/metadata", metadata("DescribeKey"), "", NO_KEY),
    ("keys/foo/metadata", metadata("DescribeKey"), "id", UNAUTHENTICATED),
    ("keys/foo/metadata", metadata("DescribeKey"), "secret", UNAUTHENTICATED),
    ("keys/foo/metadata", metadata("DescribeKey"), "prefix", NO_PATH),
    ("keys/non_existing_key/encrypt", encrypt_body(TEXT), "", NO_KEY),
    ("keys/foo/encrypt", {**metadata(), "encryptionAlgorithm": "AES_GCM"}, "", INVALID),
    ("keys/foo/encrypt", encrypt_body(TEXT), "id", UNAUTHENTICATED),
    ("keys/foo/encrypt", encrypt_body(TEXT), "secret", UNAUTHENTICATED),
    ("keys/foo/encrypt", encrypt_body(TEXT), "prefix", NO_PATH),
    ("keys/encrypt_only_key/encrypt", encrypt_body(TEXT, SENT, **INTEGRITY), "", WRONG_USAGE),
    ("keys/encrypt_only_key/encrypt", encrypt_body(TEXT, **INTEGRITY), "", WRONG_USAGE),
    *(
        (f"keys/{key}/encrypt", encrypt_body(TEXT, sent, **more), "", WRONG_USAGE)
        for key in ("decrypt_only_key", "impotent_key")
        for sent in (SENT, b"")
        for more in (NO_INTEGRITY, INTEGRITY)
    ),
]

# Plaintext, associated data of Encrypt and Decrypt, whether the integrity value is asked for, key, outcome of Decrypt.
PAIRS: list[tuple[bytes, bytes, bytes, bool, str, tuple[int, str]]] = [
    (TEXT, SENT, b"", False, "foo", WRONG_CIPHERTEXT),
    (TEXT, SENT, b"", False, "foo", WRONG_CIPHERTEXT),  # the client has this case twice
    (TEXT, SENT, OTHER, False, "foo", WRONG_CIPHERTEXT),
    (b"Hello World!", b"", b"", False, "foo", OK),
    (b"Hello World!", SENT, SENT, False, "foo", OK),
    (b"Hello World!", SENT, SENT, True, "foo", OK),
    (b"Hello World!", b"", b"", True, "foo", OK),
    (bytes(range(256)) * 16, bytes(range(256)) * 32, bytes(range(256)) * 32, False, "foo", OK),
    (TEXT, b"", b"", False, "encrypt_only_key", WRONG_USAGE),
    (TEXT, SENT, SENT, False, "encrypt_only_key", WRONG_USAGE),
]


def test_these_are_as_many_cases_as_the_client_has() -> None:
    assert len(SINGLE) + 2 * len(PAIRS) == CASES_OF_THE_CLIENT


@pytest.mark.parametrize(("path", "body", "change", "outcome"), SINGLE)
def test_a_call(client: XksClient, path: str, body: dict[str, Any], change: str, outcome: tuple[int, str]) -> None:
    reply = client.call(path, body, **changed(client, change))
    assert reply.error == outcome
    if outcome == OK:
        assert reply.body.keys() & {"ekmFleetDetails", "keyStatus"}
    else:
        assert reply.body["errorMessage"].isprintable()
        assert len(reply.body["errorMessage"]) < 512


@pytest.mark.parametrize(("plaintext", "sent", "sent_later", "with_integrity", "key", "outcome"), PAIRS)
def test_an_encryption_and_a_decryption(  # noqa: PLR0913, PLR0917 - the columns of the table
    client: XksClient,
    plaintext: bytes,
    sent: bytes,
    sent_later: bytes,
    with_integrity: bool,  # noqa: FBT001 - a column of the table
    key: str,
    outcome: tuple[int, str],
) -> None:
    more: dict[str, Any] = INTEGRITY if with_integrity else {}
    encrypted = client.call(f"keys/{key}/encrypt", encrypt_body(plaintext, sent, **more))
    assert encrypted.error == OK
    if with_integrity:
        assert encrypted.bytes_of("ciphertextDataIntegrityValue") == encrypted.integrity(sent)
    decrypted = client.call(f"keys/{key}/decrypt", decrypt_body(encrypted, sent_later))
    assert decrypted.error == outcome
    if outcome == OK:
        assert decrypted.plaintext == plaintext


# --- what the client does not try


def test_all_calls_on_one_connection(client: XksClient) -> None:
    connection = client.connection()
    replies: list[XksReply] = [client.call_on(connection, "health", HEALTH) for _ in range(20)]
    connection.close()
    assert {reply.status for reply in replies} == {200}


@pytest.mark.parametrize("path", ["health", "keys/foo/metadata", "keys/foo/encrypt"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_other_methods(client: XksClient, path: str, method: str) -> None:
    assert client.call(path, b"", method=method).status == 405


@pytest.mark.parametrize("target", ["/", "/kms/xks/v2/health", f"/{PREFIX}/kms/xks/v1/health?x=1", "/metrics"])
def test_other_paths(client: XksClient, target: str) -> None:
    connection = client.connection()
    connection.request("POST", target, b"{}")
    response = connection.getresponse()
    assert response.status == 404
    assert b"InvalidUriPathException" in response.read()
    connection.close()


def test_the_check_of_a_load_balancer_needs_no_signature(client: XksClient) -> None:
    connection = client.connection()
    connection.request("GET", "/healthz")
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b"ok\n")
    connection.close()


def test_a_body_that_is_too_large(client: XksClient) -> None:
    body = encrypt_body(bytes(60_000))
    assert client.call("keys/foo/encrypt", body).error == (501, "UnsupportedOperationException")
    assert client.call("keys/foo/encrypt", encrypt_body(bytes(4300), bytes(8192))).status == 200
