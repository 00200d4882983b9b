"""TLS, time limits, and starts that must fail."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest

from clients import ONCE, client_of, credentials_of
from local_server import RunningServer, running_server
from strongroom.crypto.seals.file import create_root_key
from strongroom.entropy import system_entropy


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", *subject]
    subprocess.run([*command, "-keyout", "key.pem", "-out", "cert.pem"], cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


def test_tls(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    with running_server(tmp_path / "data", tmp_path / "log", "--tls-cert", str(cert), "--tls-key", str(key)) as server:
        assert server.endpoint.startswith("https://127.0.0.1:")
        keys = credentials_of(server)
        kms = boto3.client(
            "kms",
            region_name="us-east-1",
            endpoint_url=server.endpoint,
            verify=str(cert),
            aws_access_key_id=keys.access_key,
            aws_secret_access_key=keys.secret_key,
            config=ONCE,
        )
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        deny = {"Effect": "Deny", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*"}
        allow = {"Effect": "Allow", "Principal": {"AWS": "000000000000"}, "Action": "kms:*", "Resource": "*"}
        insecure = {**deny, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
        kms.put_key_policy(KeyId=key_id, Policy=json.dumps({"Version": "2012-10-17", "Statement": [allow, insecure]}))
        blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
        plain = socket.create_connection(
            (urlsplit(server.endpoint).hostname or "", urlsplit(server.endpoint).port or 0)
        )
        with plain:
            plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200" not in plain.recv(4096)
        assert server.stop() == 0


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that waits for clients for one second only."""
    folder = tmp_path_factory.mktemp("quick")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRONGROOM_REQUEST_TIME", "1")
        patch.setenv("STRONGROOM_IDLE_TIME", "1")
        with running_server(folder / "data", folder / "log") as server:
            # What is set here is for this server only.
            patch.undo()
            yield server


@pytest.mark.parametrize("begun", [b"", b"POST / HT", b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc"])
def test_a_stalled_client_is_dropped(quick: RunningServer, begun: bytes) -> None:
    url = urlsplit(quick.endpoint)
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=60) as connection:
        connection.sendall(begun)
        started = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
        assert time.monotonic() - started < 15


def test_a_client_that_trickles_its_request_is_dropped_too(quick: RunningServer) -> None:
    url = urlsplit(quick.endpoint)
    connection = socket.create_connection((url.hostname or "", url.port or 0), timeout=10)
    with connection, pytest.raises(OSError):  # noqa: PT011 - reset or broken pipe, as the kernel likes
        trickle(connection)


def trickle(connection: socket.socket) -> None:
    for byte in b"POST / HTTP/1.1\r\n" + b"X: y\r\n" * 1000:
        connection.sendall(bytes((byte,)))
        time.sleep(0.05)


def serve(*options: str, data: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "strongroom", "serve", "--data", str(data), "--listen", "127.0.0.1:0", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_starts_that_are_refused_say_why(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data, tmp_path / "log") as server:
        assert "another server is using" in serve(data=data).stderr
        taken = urlsplit(server.endpoint).netloc
        assert "in use" in serve("--listen", taken, data=tmp_path / "other").stderr
    for options, message in (
        (["--listen", "0.0.0.0:0"], "can be reached by others"),
        (
            ["--account", "111122223333"],
            "belongs to account 000000000000; to add 111122223333, run: strongroom account",
        ),
        (["--region", "nowhere"], "--region is not valid"),
        (["--tls-cert", "missing", "--tls-key", "missing"], "No such file"),
    ):
        refused = serve(*options, data=data)
        assert refused.returncode == 1
        assert message in refused.stderr
        assert "Traceback" not in refused.stderr
    (data / "root.key").rename(tmp_path / "root.key")
    assert "is missing" in serve(data=data).stderr
    (data / "root.key").write_text((tmp_path / "root.key").read_text().replace('"key":"', '"key":"AAAA')[:-7] + '"}\n')
    (data / "root.key").chmod(0o600)
    damaged = serve(data=data).stderr
    assert f"`{data / 'root.key'}` is not a root key file" in damaged
    assert "Traceback" not in damaged
    (data / "root.key").unlink()
    create_root_key(data / "root.key", system_entropy)
    other = serve(data=data).stderr
    assert f"`{data / 'root.key'}` is not the root key of `{data / 'strongroom.db'}`" in other
    assert len(other.splitlines()) == 1


def test_a_restart_keeps_everything_and_adds_regions(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data, tmp_path / "log") as server:
        kms = client_of(server)
        key_id = kms.create_key(Description="kept")["KeyMetadata"]["KeyId"]
        blob = kms.encrypt(KeyId=key_id, Plaintext=b"kept")["CiphertextBlob"]
        assert server.stop() == 0
    for path in data.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
    assert data.stat().st_mode & 0o777 == 0o700
    with running_server(data, tmp_path / "log", "--region", "eu-west-1", "--region", "us-east-1") as server:
        assert client_of(server).decrypt(CiphertextBlob=blob)["Plaintext"] == b"kept"
        client_of(server, "eu-west-1").create_key()
        # Neither a core dump nor another process of the same user can see this one's memory.
        limits = Path(f"/proc/{server.process.pid}/limits").read_text()
        assert limits.split("Max core file size")[1].split()[:2] == ["0", "0"]
        os.kill(server.process.pid, signal.SIGINT)
        assert server.process.wait(60) == 0
