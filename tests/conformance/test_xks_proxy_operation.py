"""``strongroom xks-proxy`` as an operator uses it: certificates, credentials under load, crashes, mistakes."""

import json
import signal
import sqlite3
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from accounts import strongroom, succeed
from audits import all_audit_files, command_records
from clients import client_of
from local_server import RunningServer, running_server
from server_processes import wait_until
from tls_files import Pair, self_signed, signed_by
from xks_calls import PREFIX, REQUEST_ID, decrypt_body, encrypt_body, metadata, policy
from xks_processes import RunningProxy, XksClient, exported, make_proxy, running_proxy, serve_command

KMS = "cks.kms.us-east-1.amazonaws.com"
HEALTH = metadata("KmsHealthCheck")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("xks")


@pytest.fixture(scope="module")
def data(folder: Path) -> Path:
    return folder / "data"


@pytest.fixture(scope="module")
def server(folder: Path, data: Path) -> Iterator[RunningServer]:
    with running_server(data, folder / "log") as server:
        yield server
        assert server.stop() == 0


@pytest.fixture(scope="module")
def key_id(server: RunningServer, data: Path) -> str:
    return make_proxy(server, data)


@pytest.fixture
def proxy(key_id: str, data: Path, tmp_path: Path) -> Iterator[RunningProxy]:
    assert key_id
    with running_proxy(data, tmp_path / "proxy.log") as proxy:
        yield proxy


@pytest.fixture
def client(proxy: RunningProxy, data: Path) -> XksClient:
    return XksClient(proxy, exported(data))


# --- certificates


def tried(proxy: RunningProxy, data: Path, server_pair: Pair, own: Pair | None) -> str:
    """Return the outcome of a call with a client certificate, or without one."""
    context = ssl.create_default_context(cafile=str(server_pair.certificate))
    if own is not None:
        context.load_cert_chain(own.certificate, own.key)
    try:
        reply = XksClient(proxy, exported(data), context).call("health", HEALTH)
    except (ssl.SSLError, ConnectionError):
        return "no handshake"
    return str(reply.body.get("errorName", reply.status))


@pytest.mark.usefixtures("key_id")
def test_only_the_certificate_of_kms_is_let_in(data: Path, tmp_path: Path) -> None:
    pair, authority = self_signed(tmp_path, "proxy"), self_signed(tmp_path, "authority")
    other = self_signed(tmp_path / "elsewhere", "other")
    own = signed_by(authority, tmp_path, KMS)
    wrong_region = signed_by(authority, tmp_path, "cks.kms.eu-west-1.amazonaws.com")
    wrong_authority = signed_by(other, tmp_path / "elsewhere", KMS)
    options = (*pair.options, "--tls-client-ca", str(authority.certificate))
    with running_proxy(data, tmp_path / "log", *options) as proxy:
        assert tried(proxy, data, pair, own) == "200"
        assert tried(proxy, data, pair, wrong_region) == "AuthenticationFailedException"
        assert tried(proxy, data, pair, wrong_authority) == "no handshake"
        assert tried(proxy, data, pair, other) == "no handshake"
        assert tried(proxy, data, pair, None) == "no handshake"


@pytest.mark.usefixtures("key_id")
def test_certificates_are_read_anew(data: Path, tmp_path: Path) -> None:
    pair, later = self_signed(tmp_path, "proxy"), self_signed(tmp_path, "later")
    with running_proxy(data, tmp_path / "log", *pair.options) as proxy:
        assert tried(proxy, data, pair, None) == "200"
        for old, new in ((pair.certificate, later.certificate), (pair.key, later.key)):
            old.write_bytes(new.read_bytes())
        proxy.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "read the certificates anew" in (tmp_path / "log").read_text())
        wait_until(lambda: tried(proxy, data, later, None) == "200")
        pair.key.write_text("none")
        proxy.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "everything stays as it was" in (tmp_path / "log").read_text())
        assert tried(proxy, data, later, None) == "200"


# --- credentials


def test_credentials_are_rotated_under_load_without_one_failure(client: XksClient, data: Path) -> None:
    outcomes, stop = [list[tuple[int, str]]() for _ in range(4)], threading.Event()

    def call_again_and_again(mine: list[tuple[int, str]]) -> None:
        with closing(client.connection()) as connection:
            while not stop.is_set():
                mine.append(client.call_on(connection, "keys/foo/encrypt", encrypt_body(b"t")).error)

    threads = [threading.Thread(target=call_again_and_again, args=(mine,)) for mine in outcomes]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            former = client.credentials
            added = succeed(data, "xks-proxy", "credential", "add", PREFIX).strip()
            # As AWS KMS takes on another credential: what it has begun is still signed with the former one.
            client.credentials = exported(data, "--access-key-id", added)
            before = [len(mine) for mine in outcomes]
            wait_until(lambda: all(len(mine) >= were + 10 for mine, were in zip(outcomes, before, strict=True)))  # noqa: B023 - used now
            succeed(data, "xks-proxy", "credential", "remove", PREFIX, str(former.access_key))
            assert client.call("health", HEALTH, credentials=former).error == (401, "AuthenticationFailedException")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert {outcome for mine in outcomes for outcome in mine} == {(200, "")}


# --- beside the server


def test_a_key_that_is_disabled_at_the_server_is_disabled_here_at_once(
    client: XksClient, server: RunningServer, key_id: str
) -> None:
    kms = client_of(server)
    for _ in range(5):
        kms.disable_key(KeyId=key_id)
        assert client.call("keys/foo/encrypt", encrypt_body()).error == (400, "InvalidStateException")
        kms.enable_key(KeyId=key_id)
        assert client.call("keys/foo/encrypt", encrypt_body()).status == 200


def test_the_server_knows_when_a_key_was_used_over_the_proxy(
    client: XksClient, server: RunningServer, data: Path
) -> None:
    kms = client_of(server)
    used = kms.create_key(Policy=policy())["KeyMetadata"]["KeyId"]
    assert "Operation" not in kms.get_key_last_usage(KeyId=used)["KeyLastUsage"]
    succeed(data, "xks-proxy", "key", "add", PREFIX, "used", used)
    assert client.call("keys/used/encrypt", encrypt_body()).status == 200
    found = kms.get_key_last_usage(KeyId=used)["KeyLastUsage"]
    assert (found["Operation"], found["KmsRequestId"]) == ("Encrypt", REQUEST_ID)


def test_records_are_verified_and_searched_with_all_others(client: XksClient, data: Path, key_id: str) -> None:
    assert client.call("keys/foo/encrypt", encrypt_body()).status == 200
    succeed(data, "audit", "verify")
    found = succeed(data, "audit", "search", "--key", key_id, "--event", "Encrypt", "--json").splitlines()
    newest = json.loads(found[-1])
    assert newest["requestID"] == REQUEST_ID
    assert newest["chain"]["writer"].endswith("x0")
    assert "x0" in succeed(data, "audit", "writers")


def test_a_killed_proxy_goes_on_with_its_chain(key_id: str, data: Path, tmp_path: Path) -> None:
    assert key_id
    for _ in range(3):
        with running_proxy(data, tmp_path / "log") as proxy:
            client = XksClient(proxy, exported(data))
            encrypted = client.call("keys/foo/encrypt", encrypt_body())
            assert client.call("keys/foo/decrypt", decrypt_body(encrypted)).status == 200
            proxy.process.kill()
            proxy.process.wait()
    succeed(data, "audit", "verify")
    with running_proxy(data, tmp_path / "log") as proxy:
        assert proxy.stop() == 0
    assert (tmp_path / "log").read_text() == ""


def test_a_start_of_the_server_ends_the_chain_of_a_killed_proxy(tmp_path: Path) -> None:
    own = tmp_path / "data"
    with running_server(own, tmp_path / "log") as server:
        make_proxy(server, own)
        with running_proxy(own, tmp_path / "proxy.log") as proxy:
            assert XksClient(proxy, exported(own)).call("keys/foo/encrypt", encrypt_body()).status == 200
            proxy.process.kill()
            proxy.process.wait()
        assert server.stop() == 0
    (segment,) = (own / "audit").glob("*x0-*.jsonl")
    before = segment.read_bytes()
    with running_server(own, tmp_path / "log") as server:
        assert b'"checkpoint"' in segment.read_bytes()[len(before) :] or len([*(own / "audit").glob("*x0-*")]) > 1
        with running_proxy(own, tmp_path / "proxy.log") as proxy:
            assert XksClient(proxy, exported(own)).call("health", HEALTH).status == 200
            assert proxy.stop() == 0
        assert server.stop() == 0
    succeed(own, "audit", "verify")


def test_it_serves_while_the_server_is_stopped(tmp_path: Path) -> None:
    own = tmp_path / "data"
    with running_server(own, tmp_path / "log") as server:
        make_proxy(server, own)
        assert server.stop() == 0
    with running_proxy(own, tmp_path / "proxy.log") as proxy:
        assert XksClient(proxy, exported(own)).call("keys/foo/encrypt", encrypt_body()).status == 200
        assert proxy.stop() == 0
    succeed(own, "audit", "verify")


def test_a_database_that_another_release_has_upgraded_ends_it(tmp_path: Path) -> None:
    own = tmp_path / "data"
    with running_server(own, tmp_path / "log") as server:
        make_proxy(server, own)
        assert server.stop() == 0
    with running_proxy(own, tmp_path / "proxy.log") as proxy:
        with closing(sqlite3.connect(own / "strongroom.db")) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        assert proxy.process.wait(60) == 1
    assert "another release" in (tmp_path / "proxy.log").read_text().splitlines()[-1]


# --- mistakes


@pytest.mark.usefixtures("key_id")
@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("add", PREFIX, "--account", "000000000000", "--region", "us-east-1"), "already"),
        (("add", "a b", "--account", "000000000000", "--region", "us-east-1"), "is no prefix"),
        (("add", "new", "--account", "999999999999", "--region", "us-east-1"), "strongroom account create"),
        (("add", "new", "--account", "000000000000", "--region", "eu-west-9"), "has served the Region"),
        (("credential", "add", "unknown"), "strongroom xks-proxy add unknown"),
        (("credential", "remove", PREFIX, "A" * 24), "has no credential"),
        (("key", "add", PREFIX, "foo", "alias/none"), "has no key `alias/none`"),
        (("key", "add", PREFIX, "a b", "alias/none"), "is no external id"),
        (("key", "add", PREFIX, "x", "not a key"), "names no key"),
        (("key", "remove", PREFIX, "x"), "has no key x"),
        (("remove", "unknown"), "there is no XKS proxy unknown"),
        (("export", "unknown"), "there is no XKS proxy unknown"),
    ],
)
def test_a_mistake_is_told_in_one_line(data: Path, command: tuple[str, ...], words: str) -> None:
    done = strongroom(data, "xks-proxy", *command)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert words in line


@pytest.mark.parametrize(
    "made",
    [
        {"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"},
        {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"},
    ],
)
@pytest.mark.usefixtures("key_id")
def test_other_keys_cannot_be_given_out(server: RunningServer, data: Path, made: dict[str, str]) -> None:
    other = client_of(server).create_key(**made)["KeyMetadata"]["Arn"]  # type: ignore[arg-type]
    done = strongroom(data, "xks-proxy", "key", "add", PREFIX, "other", other)
    assert done.returncode == 1
    assert "SYMMETRIC_DEFAULT" in done.stderr


def ended(data: Path, *options: str) -> str:
    """Return the one line of a start that must fail."""
    done = subprocess.run(
        serve_command(data, *options), capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.usefixtures("key_id")
def test_starts_that_fail_say_why(data: Path, tmp_path: Path) -> None:
    assert "can be reached by others" in ended(data, "--listen", "0.0.0.0:0")
    assert "`xks-tls-cert`" in ended(data, "--tls-cert", "x")
    assert "`none.pem`" in ended(data, "--tls-cert", "none.pem", "--tls-key", "none.key")
    assert "is not a data folder" in ended(tmp_path / "nothing")
    assert "is not a data folder" in ended(tmp_path / "nothing", "--listen", "0.0.0.0:0", "--allow-plaintext")


@pytest.mark.usefixtures("proxy")
def test_a_second_proxy_is_refused(data: Path) -> None:
    assert "another process serves the XKS proxies" in ended(data)


def test_the_name_of_the_proxy_is_no_service(data: Path) -> None:
    done = strongroom(data, "service", "create", "xks-proxy.strongroom.amazonaws.com")
    assert "the name of the XKS proxy" in done.stderr


# --- what commands leave


def test_commands_are_recorded_and_show_no_secret(key_id: str, data: Path, tmp_path: Path) -> None:
    assert key_id
    to = tmp_path / "proxy.json"
    succeed(data, "xks-proxy", "export", PREFIX, "--to", str(to))
    assert to.stat().st_mode & 0o777 == 0o600
    document = json.loads(to.read_text())
    assert document["XksProxyUriPath"] == f"/{PREFIX}/kms/xks/v1"
    secret = document["XksProxyAuthenticationCredential"]["RawSecretAccessKey"]
    names = {record["eventName"] for record in command_records(data)}
    assert {"CreateXksProxy", "CreateXksProxyCredential", "AddXksProxyKey", "ExportXksProxyCredential"} <= names
    assert all(secret.encode() not in path.read_bytes() for path in all_audit_files(data))
    assert secret.encode() not in (data / "strongroom.db").read_bytes()
    assert secret not in succeed(data, "xks-proxy", "list")
    assert f"`{to}` exists already" in strongroom(data, "xks-proxy", "export", PREFIX, "--to", str(to)).stderr


def test_the_proxy_without_a_prefix(server: RunningServer, data: Path, client: XksClient) -> None:
    assert server.endpoint
    succeed(data, "xks-proxy", "add", "/", "--account", "000000000000", "--region", "us-east-1")
    succeed(data, "xks-proxy", "credential", "add", "/")
    document = json.loads(succeed(data, "xks-proxy", "export", "/"))
    assert document["XksProxyUriPath"] == "/kms/xks/v1"
    succeed(data, "xks-proxy", "remove", "/")
    assert client.call("health", HEALTH).status == 200
