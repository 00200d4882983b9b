"""SIGHUP: what a running server takes on, and what it says of the rest."""

import http.client
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from local_server import RunningServer, running_server
from scrapes import ScrapedMetrics, scrape, scrape_until
from server_processes import wait_until
from tls_files import Pair, self_signed

ROUNDS = "strongroom_keeper_rounds_total"

pytestmark = pytest.mark.parametrize("workers", [1, 2])


class Reloading:
    """A server with a settings file and a certificate, both of which can be replaced."""

    def __init__(self, server: RunningServer, folder: Path) -> None:
        self.server = server
        self.config = folder / "strongroom.toml"
        self.log = folder / "log"
        self.certificate = folder / "served.pem"
        self.key = folder / "served.key"

    def put(self, pair: Pair) -> None:
        """Put another certificate in the place of the one that is served."""
        self.certificate.write_bytes(pair.certificate.read_bytes())
        self.key.write_bytes(pair.key.read_bytes())

    def reload(self, said: str) -> None:
        """Send SIGHUP and wait until the log says something."""
        before = self.log.read_text().count(said)
        self.server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.log.read_text().count(said) > before)

    def name(self) -> str:
        """Return whose certificate a new connection gets."""
        url = urlsplit(self.server.endpoint)
        with socket.create_connection((url.hostname or "", url.port or 0), timeout=10) as plain:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(plain) as wrapped:
                der = wrapped.getpeercert(binary_form=True) or b""
        return next(name for name in ("first", "second") if name.encode() in der)

    def all_serve(self, name: str) -> bool:
        """Tell whether each of many connections, over all workers, gets a certificate."""
        return all(self.name() == name for _ in range(12))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pair, Pair]:
    folder = tmp_path_factory.mktemp("tls")
    return self_signed(folder, "first"), self_signed(folder, "second", days=5)


@pytest.fixture
def reloading(tmp_path: Path, pairs: tuple[Pair, Pair], workers: int) -> Iterator[Reloading]:
    config = tmp_path / "strongroom.toml"
    config.write_text('log-level = "info"\nkeeper-interval = 0.2\n')
    for source, name in ((pairs[0].certificate, "served.pem"), (pairs[0].key, "served.key")):
        (tmp_path / name).write_bytes(source.read_bytes())
    tls = ("--tls-cert", str(tmp_path / "served.pem"), "--tls-key", str(tmp_path / "served.key"))
    options = ("--config", str(config), "--workers", str(workers), "--metrics-listen", "127.0.0.1:0", *tls)
    with running_server(tmp_path / "data", tmp_path / "log", *options) as server:
        yield Reloading(server, tmp_path)
        assert server.stop() == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_new_connections_get_the_new_certificate_and_old_ones_go_on(
    reloading: Reloading, pairs: tuple[Pair, Pair]
) -> None:
    assert reloading.all_serve("first")
    insecure = ssl._create_unverified_context()  # noqa: S323 - whose certificate it is, is not the question here
    old = http.client.HTTPSConnection(urlsplit(reloading.server.endpoint).netloc, timeout=10, context=insecure)
    old.connect()
    connected = old.sock
    reloading.put(pairs[1])
    reloading.reload("SIGHUP: read the certificates anew")
    wait_until(lambda: reloading.all_serve("second"))
    old.request("GET", "/healthz")
    assert old.getresponse().read() == b"ok\n"
    assert old.sock is connected
    old.close()
    # It expires in five days, which the metrics, the log and /readyz tell.
    wait_until(lambda: "expires in 4 days" in reloading.log.read_text())
    shown = scrape(reloading.server)
    assert shown.sum("strongroom_problem", subject="certificate") >= 1
    assert shown.sum("strongroom_tls_certificate_expiry_timestamp_seconds", worker="w0") > time.time()  # noqa: TID251 - against the certificate


def test_a_certificate_or_setting_that_cannot_be_used_changes_nothing(
    reloading: Reloading, pairs: tuple[Pair, Pair]
) -> None:
    reloading.key.write_bytes(pairs[1].key.read_bytes())
    kept = "SIGHUP: everything stays as it was:"
    reloading.reload(f"{kept} the key `{reloading.key}` does not belong to the certificate")
    assert reloading.all_serve("first")
    reloading.put(pairs[0])
    reloading.config.write_text("log-level = ")
    reloading.reload(f"{kept} `{reloading.config}` is not valid TOML")
    reloading.config.write_text('log-level = "loud"\n')
    reloading.reload(f"{kept} `log-level` in `{reloading.config}`, line ")
    reloading.config.unlink()
    reloading.reload(f"{kept} `{reloading.config}`")
    assert reloading.all_serve("first")


def test_the_keeper_takes_on_its_interval_at_once(reloading: Reloading, workers: int) -> None:
    reloading.config.write_text('log-level = "info"\nkeeper-interval = 3600\n')
    reloading.reload("SIGHUP: took on keeper-interval")
    reloading.config.write_text('log-level = "info"\nkeeper-interval = 0.1\n')
    reloading.reload("SIGHUP: took on keeper-interval")
    names = [f"w{number}" for number in range(workers)]
    before = scrape(reloading.server)

    def all_go_on(now: ScrapedMetrics) -> bool:
        grown = (now.sum(ROUNDS, worker=name) - before.sum(ROUNDS, worker=name) for name in names)
        return all(each > 5 for each in grown)

    scrape_until(reloading.server, all_go_on)


def test_the_log_says_what_was_taken_on_and_what_needs_a_restart(reloading: Reloading) -> None:
    reloading.config.write_text(
        'log-level = "warning"\nkeeper-interval = 0.5\nidle-time = 7\nregions = ["eu-west-1"]\n'
    )
    said = "took on keeper-interval, log-level; read the certificates anew; a restart is needed for idle-time, regions"
    reloading.reload(f"SIGHUP: {said}")
