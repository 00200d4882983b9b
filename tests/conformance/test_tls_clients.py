"""TLS with real clients: which versions and suites they get, and what a client without a certificate gets."""

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from clients import credentials_of
from local_server import RunningServer, running_server
from scrapes import scrape_until
from strongroom.settings import TLS_SUITES
from tls_files import RSA, Pair, self_signed, signed_by

FAILED = "strongroom_tls_handshakes_failed_total"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def rsa(folder: Path) -> Pair:
    return self_signed(folder, "rsa", kind=RSA)


@pytest.fixture(scope="module")
def server(folder: Path, rsa: Pair) -> Iterator[RunningServer]:
    with running_server(folder / "data", folder / "log", *rsa.options) as server:
        yield server


def handshake(server: RunningServer, *options: str) -> str | None:
    """Connect with ``openssl s_client``; return the version and suite that were agreed on, None if none were."""
    # The lowest security level: the client is to offer what the server must refuse.
    command = ["openssl", "s_client", "-connect", urlsplit(server.endpoint).netloc, "-cipher", "ALL:@SECLEVEL=0"]
    done = subprocess.run([*command, *options], input="", capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r"New, (TLSv[\d.]+), Cipher is (\S+)", done.stdout)
    return None if found is None or done.returncode != 0 else found[2]


@pytest.mark.parametrize("suite", [suite for suite in TLS_SUITES if "RSA" in suite])
def test_each_allowed_suite_of_tls_1_2(server: RunningServer, suite: str) -> None:
    assert handshake(server, "-tls1_2", "-cipher", suite) == suite


@pytest.mark.parametrize(
    "suite",
    ["AES256-GCM-SHA384", "AES128-SHA", "ECDHE-RSA-AES256-SHA384", "ECDHE-RSA-AES128-SHA", "DHE-RSA-AES256-GCM-SHA384"],
)
def test_suites_without_forward_secrecy_or_an_aead_are_refused(server: RunningServer, suite: str) -> None:
    assert handshake(server, "-tls1_2", "-cipher", f"{suite}:@SECLEVEL=0") is None


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_older_versions_are_refused(server: RunningServer, version: str) -> None:
    assert handshake(server, version) is None


def test_tls_1_3_is_preferred(server: RunningServer) -> None:
    assert handshake(server) in {"TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"}


def test_the_floor_and_the_suites_can_be_set(folder: Path, rsa: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    only = "ECDHE-RSA-CHACHA20-POLY1305"
    monkeypatch.setenv("STRONGROOM_TLS_CIPHERS", only)
    with running_server(folder / "one-suite", folder / "log-1", *rsa.options) as server:
        assert handshake(server, "-tls1_2") == only
        assert handshake(server, "-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384") is None
    monkeypatch.delenv("STRONGROOM_TLS_CIPHERS")
    monkeypatch.setenv("STRONGROOM_TLS_MIN_VERSION", "1.3")
    with running_server(folder / "floor", folder / "log-2", *rsa.options) as server:
        assert handshake(server, "-tls1_2") is None
        assert handshake(server, "-tls1_3") is not None


@pytest.fixture(scope="module")
def authority(folder: Path) -> Pair:
    return self_signed(folder, "authority")


@pytest.fixture(scope="module")
def mutual(folder: Path, rsa: Pair, authority: Pair) -> Iterator[RunningServer]:
    """A server whose clients need a certificate of ``authority``."""
    ca = ("--tls-client-ca", str(authority.certificate))
    with running_server(folder / "mutual", folder / "mutual-log", *rsa.options, *ca) as server:
        yield server


def kms_of(server: RunningServer, rsa: Pair, client: Pair | None, secret: str | None = None) -> Any:
    keys = credentials_of(server)
    certificate = None if client is None else (str(client.certificate), str(client.key))
    return boto3.client(
        "kms",
        region_name="us-east-1",
        endpoint_url=server.endpoint,
        verify=str(rsa.certificate),
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=secret or keys.secret_key,
        config=Config(client_cert=certificate, retries={"total_max_attempts": 1}),
    )


def curl(server: RunningServer, rsa: Pair, *options: str) -> str:
    """Return the status that curl got for /healthz, ``000`` for none."""
    command = ["curl", "-s", "-o", os.devnull, "-w", "%{http_code}", "--cacert", str(rsa.certificate)]
    done = subprocess.run(
        [*command, *options, f"{server.endpoint}/healthz"], capture_output=True, text=True, timeout=120, check=False
    )
    return done.stdout


def test_a_client_with_a_certificate_is_served(folder: Path, mutual: RunningServer, rsa: Pair, authority: Pair) -> None:
    client = signed_by(authority, folder, "client")
    assert kms_of(mutual, rsa, client).create_key()["KeyMetadata"]["Enabled"]
    for version in ("--tlsv1.2", "--tlsv1.3"):
        named = ("--cert", str(client.certificate), "--key", str(client.key), version)
        assert curl(mutual, rsa, *named, "--tls-max", version.removeprefix("--tlsv")) == "200"


def test_a_certificate_does_not_replace_the_signature(
    folder: Path, mutual: RunningServer, rsa: Pair, authority: Pair
) -> None:
    client = signed_by(authority, folder, "unsigned")
    with pytest.raises(ClientError, match="InvalidSignatureException"):
        kms_of(mutual, rsa, client, secret="wrong").list_keys()


def test_a_client_without_a_certificate_of_the_authority_is_refused(
    folder: Path, mutual: RunningServer, rsa: Pair
) -> None:
    stranger = self_signed(folder, "stranger")
    for client in (None, stranger):
        with pytest.raises(BotoCoreError):
            kms_of(mutual, rsa, client).list_keys()
    assert curl(mutual, rsa) == "000"
    assert curl(mutual, rsa, "--cert", str(stranger.certificate), "--key", str(stranger.key)) == "000"


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_client_that_is_refused_gets_an_alert(
    folder: Path, mutual: RunningServer, server: RunningServer, version: str
) -> None:
    stranger = self_signed(folder, f"alerted{version}")
    missing = "handshake failure" if version == "-tls1_2" else "certificate required"
    assert missing in alert_of(mutual, version)
    assert "unknown ca" in alert_of(mutual, version, "-cert", str(stranger.certificate), "-key", str(stranger.key))
    assert "protocol version" in alert_of(server, "-tls1_1")
    assert "handshake failure" in alert_of(server, "-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0")


def alert_of(server: RunningServer, *options: str) -> str:
    """Return what ``openssl s_client`` says of a connection that the server refuses."""
    command = ["openssl", "s_client", "-connect", urlsplit(server.endpoint).netloc, "-cipher", "ALL:@SECLEVEL=0"]
    # A client of TLS 1.3 must read after its handshake, because that is over for it before the server has looked.
    done = subprocess.run(
        [*command, *options, "-ign_eof"], input="", capture_output=True, text=True, timeout=60, check=False
    )
    return done.stderr


def test_failed_handshakes_are_counted_by_reason_and_logged_once(folder: Path, rsa: Pair, authority: Pair) -> None:
    ca = ("--tls-client-ca", str(authority.certificate))
    log = folder / "counted-log"
    stranger = self_signed(folder, "counted")
    with running_server(folder / "counted", log, *rsa.options, *ca, "--metrics-listen", "127.0.0.1:0") as server:
        for _ in range(3):
            assert curl(server, rsa) == "000"
        assert curl(server, rsa, "--cert", str(stranger.certificate), "--key", str(stranger.key)) == "000"
        assert curl(server, authority) == "000", "a client that does not trust the server"
        address = urlsplit(server.endpoint)
        place = (address.hostname or "", address.port or 0)
        socket.create_connection(place).close()
        with socket.create_connection(place, timeout=60) as plain:
            plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            while plain.recv(4096):
                pass
        shown = scrape_until(server, lambda seen: seen.sum(FAILED, reason="closed") == 1)
    expected = {"no_certificate": 3, "bad_certificate": 1, "refused_by_client": 1, "closed": 1, "not_tls": 1}
    assert {each.labels["reason"]: each.value for each in shown.samples(FAILED) if each.value} == expected
    lines = [line for line in log.read_text().splitlines() if "a TLS handshake failed" in line]
    assert len([line for line in lines if "showed no certificate" in line]) == 1
    assert len(lines) == len(expected) - 1, "one that the client closed is not logged"
