"""Keys that are fetched from their issuers: when, how often, and what is no good answer."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from issuer_server import DISCOVERY, IssuerServer
from issuers import Issuer
from strongroom.crypto.documents import fetched_keys
from strongroom.crypto.documents.fetched_keys import FRESH, LIMIT, RETRY, FetchedKeys, fetch_keys

NOW = 1_790_000_000.0
URL = "https://issuer.example"
ACCOUNT = "000000000000"
LONG = 60.0
"""Seconds in which all has happened that does not wait, however slow the machine is."""


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path / "jwks.json", NOW)


class Source:
    """An issuer that can be asked for its keys, and counts how often it was."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self.asked = 0
        self.down = False

    def __call__(self, url: str) -> str:
        """Return the keys; raises OSError while it is down."""
        self.asked += 1
        if self.down:
            raise ConnectionRefusedError(url)
        return self.issuer.jwks.read_text()


def test_keys_are_fetched_once_while_they_are_fresh(issuer: Issuer) -> None:
    source = Source(issuer)
    keys = FetchedKeys(source)
    for later in (0, 1, FRESH - 1):
        assert keys.of(URL, ACCOUNT, "rsa", NOW + later) is not None
        assert keys.of(URL, ACCOUNT, None, NOW + later) is not None
    assert source.asked == 1
    keys.of(URL, ACCOUNT, "rsa", NOW + FRESH)
    assert source.asked == 2
    keys.of("https://other.example", ACCOUNT, "rsa", NOW + FRESH)
    assert source.asked == 3


def test_a_key_that_is_new_is_fetched_but_not_more_than_once_a_minute(issuer: Issuer) -> None:
    source = Source(issuer)
    keys = FetchedKeys(source)
    keys.of(URL, ACCOUNT, "rsa", NOW)
    issuer.add("next", ec.generate_private_key(ec.SECP256R1()))

    def has_next(now: float) -> bool:
        found = keys.of(URL, ACCOUNT, "next", now)
        return found is not None and any(key.key_id == "next" for key in found.keys)

    assert not has_next(NOW + RETRY - 1)
    assert source.asked == 1
    assert has_next(NOW + RETRY)
    for forged in range(20):
        keys.of(URL, ACCOUNT, f"forged-{forged}", NOW + RETRY + 1)
    assert source.asked == 2


def test_an_issuer_that_is_down(issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    source = Source(issuer)
    keys = FetchedKeys(source)
    keys.of(URL, ACCOUNT, "rsa", NOW)
    source.down = True
    assert keys.of(URL, ACCOUNT, "rsa", NOW + LIMIT - 1) is not None
    assert keys.of(URL, ACCOUNT, "rsa", NOW + LIMIT) is None
    assert source.asked == 2
    assert f"the keys of {URL} cannot be fetched" in caplog.text
    source.down = False
    assert keys.of(URL, ACCOUNT, "rsa", NOW + LIMIT + RETRY) is not None


def test_an_issuer_that_hangs_holds_up_one_call(issuer: Issuer) -> None:
    let_go = threading.Event()

    def hang(_url: str) -> str:
        assert let_go.wait(LONG)
        return issuer.jwks.read_text()

    keys = FetchedKeys(hang, patience=0.2)
    begun = time.perf_counter()
    assert keys.of(URL, ACCOUNT, "rsa", NOW) is None
    assert time.perf_counter() - begun < LONG / 2
    begun = time.perf_counter()
    for number in range(300):
        assert keys.of(URL, ACCOUNT, "rsa", NOW) is None
        assert keys.of(f"{URL}/{number}", ACCOUNT, "rsa", NOW) is None
    # If a call had waited for each of these issuers, it would have taken a minute.
    assert time.perf_counter() - begun < LONG / 2
    let_go.set()
    deadline = time.perf_counter() + LONG
    while keys.of(URL, ACCOUNT, "rsa", NOW) is None and time.perf_counter() < deadline:
        time.sleep(0.01)
    assert keys.of(URL, ACCOUNT, "rsa", NOW) is not None


def test_an_issuer_that_hangs_keeps_no_keys_from_other_accounts(issuer: Issuer) -> None:
    let_go = threading.Event()

    def fetch(url: str) -> str:
        if url != URL:
            assert let_go.wait(LONG)
        return issuer.jwks.read_text()

    keys = FetchedKeys(fetch, patience=0.2)
    assert keys.of("https://hangs.example", "111111111111", "rsa", NOW) is None
    keys._patience = LONG
    assert keys.of(URL, ACCOUNT, "rsa", NOW) is not None
    let_go.set()


# --- over the network


@pytest.fixture
def server(issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[IssuerServer]:
    with IssuerServer(issuer, tmp_path) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        yield server


def test_the_keys_are_where_the_discovery_document_says(server: IssuerServer, issuer: Issuer) -> None:
    assert fetch_keys(server.url) == issuer.jwks.read_text()
    assert server.asked == [DISCOVERY, "/tenant/keys?all=1"]


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        (DISCOVERY, 404, b"{}"),
        (DISCOVERY, 302, b""),
        (DISCOVERY, 200, b""),
        (DISCOVERY, 200, b"[]"),
        (DISCOVERY, 200, b"[" * 10_000),
        (DISCOVERY, 200, b"\xff"),
        (DISCOVERY, 200, b'{"issuer": "https://other.example", "jwks_uri": "https://localhost"}'),
        (DISCOVERY, 200, b'{"issuer": "ISSUER"}'),
        (DISCOVERY, 200, b'{"issuer": "ISSUER", "jwks_uri": "http://localhost/"}'),
        (DISCOVERY, 200, b'{"issuer": "ISSUER", "jwks_uri": "file:///etc/passwd"}'),
        (DISCOVERY, 200, b'{"issuer": "ISSUER", "jwks_uri": "https://localhost:99999/"}'),
        (DISCOVERY, 200, b'{"issuer": "ISSUER", "jwks_uri": "https://localhost/\\r\\nX: y"}'),
        (DISCOVERY, 200, b'{"issuer": "ISSUER", "jwks_uri": 1}'),
        (DISCOVERY, 200, b" " * 70_000),
        ("/tenant/keys?all=1", 500, b""),
        ("/tenant/keys?all=1", 200, b" " * 70_000),
        ("/tenant/keys?all=1", 200, b"{}"),
    ],
)
def test_answers_that_are_no_good(
    server: IssuerServer, caplog: pytest.LogCaptureFixture, path: str, status: int, body: bytes
) -> None:
    server.answers[path] = (status, body.replace(b"ISSUER", server.url.encode()))
    assert FetchedKeys(fetch_keys).of(server.url, ACCOUNT, "rsa", NOW) is None
    assert f"the keys of {server.url} cannot be fetched" in caplog.text
    assert len(server.asked) <= 2


def test_an_answer_that_trickles_in(server: IssuerServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetched_keys, "_TOTAL", 0.5)
    server.trickle = True
    begun = time.perf_counter()
    with pytest.raises((OSError, ValueError)):
        fetch_keys(server.url)
    assert time.perf_counter() - begun < LONG / 2


def test_a_certificate_that_is_not_trusted(server: IssuerServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(OSError, match="certificate verify failed"):
        fetch_keys(server.url)
    assert server.asked == []


def test_a_certificate_for_another_name(server: IssuerServer) -> None:
    with pytest.raises(OSError, match="certificate verify failed"):
        fetch_keys(server.url.replace("localhost", "127.0.0.1"))
