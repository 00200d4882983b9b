import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from audit_disk import Disk
from free_ports import free_port
from server_processes import wait_until
from shipping import content_of, rsyslog, ship, shipper_of
from strongroom.clock import SystemClock
from strongroom.shipping import syslog
from strongroom.shipping.shipper import Shipper
from strongroom.shipping.syslog import SyslogDestination
from tls_files import Pair, self_signed, signed_by


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return self_signed(tmp_path_factory.mktemp("tls"), "syslog")


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    (tmp_path / "audit").mkdir()
    return Disk(tmp_path / "audit", monkeypatch)


def context_of(pair: Pair) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(pair.certificate))


def shipper_to(port: int, pair: Pair, disk: Disk) -> Shipper:
    there = SyslogDestination("127.0.0.1", port, context_of(pair), "node1", SystemClock.timer, time.sleep)
    return shipper_of(disk.folder, disk.folder.parent / "state", there, SystemClock())


def lines_of(disk: Disk) -> list[bytes]:
    return b"".join(content_of(disk.folder).values()).splitlines()


class TlsServer:
    """Takes octet-counted messages over TLS. It reads nothing while ``reads`` is not set."""

    def __init__(self, pair: Pair, port: int = 0, *, ask_for: Path | None = None) -> None:
        self.messages: list[bytes] = []
        self.reads = threading.Event()
        self.reads.set()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pair.certificate, pair.key)
        if ask_for is not None:
            self._context.verify_mode = ssl.CERT_REQUIRED
            self._context.load_verify_locations(ask_for)
        self._listener = socket.create_server(("127.0.0.1", port))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.port: int = self._listener.getsockname()[1]
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        # What waits for a connection would keep the port.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._connections:
            with suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
                plain.settimeout(30)
                connection = self._context.wrap_socket(plain, server_side=True)
            except ssl.SSLError:
                continue
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection: ssl.SSLSocket) -> None:
        received = b""
        while True:
            self.reads.wait()
            try:
                got = connection.recv(65536)
            except OSError:
                return
            if not got:
                return
            received += got
            while b" " in received:
                length, _, rest = received.partition(b" ")
                if len(rest) < int(length):
                    break
                self.messages.append(rest[: int(length)])
                received = rest[int(length) :]

    def lines(self) -> list[bytes]:
        return [each.split(b" ", 7)[7] for each in self.messages]


@contextmanager
def tls_server(pair: Pair, port: int = 0, *, ask_for: Path | None = None) -> Iterator[TlsServer]:
    server = TlsServer(pair, port, ask_for=ask_for)
    try:
        yield server
    finally:
        server.close()


def test_a_message_has_the_format_of_rfc_5424_and_the_time_of_its_line(pair: Pair, disk: Disk) -> None:
    log = disk.open()
    log.append(b'{"eventName":"Encrypt","eventTime":"2026-03-01T12:00:00Z"}')
    log.append('{"eventName":"naïve"}'.encode())
    log.flush()
    with tls_server(pair) as server:
        shipper = shipper_to(server.port, pair, disk)
        ship(shipper)
        assert shipper.status().failing == ""
        wait_until(lambda: len(server.messages) == 3)
        assert server.lines() == lines_of(disk)
        assert server.messages[1].startswith(b"<110>1 2026-03-01T12:00:00Z node1 strongroom w0 audit - {")
        assert server.messages[2].startswith(b"<110>1 - node1 strongroom w0 audit - {")


def test_rsyslog_gets_every_line_also_when_it_is_stopped_and_started(pair: Pair, disk: Disk, tmp_path: Path) -> None:
    port, folder = free_port(), tmp_path / "rsyslog"
    log = disk.open(size=100_000)
    for round_ in range(3):
        with rsyslog(folder, pair, port, tmp_path / "log") as process:
            disk.write(log, *(f"event{round_}-{number}" for number in range(200)))
            log.append(b'{"eventName":"Long","x":"%b"}' % (b"y" * 100_000))
            log.flush()
            shipper = shipper_to(port, pair, disk)
            ship(shipper)
            assert shipper.status().failing == "", (tmp_path / "log").read_text()
            expected = lines_of(disk)
            wait_until(lambda: (folder / "messages").exists() and _messages(folder) == expected)  # noqa: B023 - used now
            process.terminate()
            process.wait()
        shipper = shipper_to(port, pair, disk)
        disk.write(log, "while-it-is-away")
        ship(shipper)
        assert "cannot be connected to" in shipper.status().failing
    heads = (folder / "heads").read_text().splitlines()
    assert {head.split()[0] for head in heads} == {"110"}
    assert {tuple(head.split()[2:]) for head in heads} == {("node1", "strongroom", "w0", "audit")}


def _messages(folder: Path) -> list[bytes]:
    return [line.removeprefix(b" ") for line in (folder / "messages").read_bytes().splitlines()]


def test_a_server_with_another_certificate_gets_nothing(pair: Pair, disk: Disk, tmp_path: Path) -> None:
    disk.write(disk.open(), "event")
    other = self_signed(tmp_path / "other", "other")
    with tls_server(other) as server:
        shipper = shipper_to(server.port, pair, disk)
        ship(shipper)
        assert "the certificate of 127.0.0.1" in shipper.status().failing
        assert "`ca`" in shipper.status().failing
        assert server.messages == []


def test_it_shows_the_certificate_that_a_server_asks_for(pair: Pair, disk: Disk, tmp_path: Path) -> None:
    authority = self_signed(tmp_path / "authority", "authority")
    client = signed_by(authority, tmp_path, "client")
    disk.write(disk.open(), "event")
    with tls_server(pair, ask_for=authority.certificate) as server:
        without = shipper_to(server.port, pair, disk)
        ship(without)
        assert without.status().failing
        context = context_of(pair)
        context.load_cert_chain(client.certificate, client.key)
        there = SyslogDestination("127.0.0.1", server.port, context, "node1", SystemClock.timer, time.sleep)
        shipper = shipper_of(disk.folder, tmp_path / "other-state", there, SystemClock())
        ship(shipper)
        assert shipper.status().failing == ""
        wait_until(lambda: server.lines() == lines_of(disk))


def test_a_server_that_reads_nothing_is_given_up_and_gets_everything_later(
    pair: Pair, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = disk.open()
    for number in range(40):
        log.append(b'{"eventName":"Event%d","x":"%b"}' % (number, b"y" * 100_000))
    log.flush()
    with tls_server(pair) as server:
        server.reads.clear()
        shipper = shipper_to(server.port, pair, disk)
        with monkeypatch.context() as impatient:
            impatient.setattr(syslog, "_TIMEOUT", 1.0)
            # It ends by itself: nothing is read meanwhile.
            ship(shipper)
        assert shipper.status().failing
        server.reads.set()
        ship(again := shipper_to(server.port, pair, disk))
        assert again.status().failing == ""
        wait_until(lambda: set(server.lines()) == set(lines_of(disk)))


def test_a_server_that_goes_away_loses_no_line_that_was_on_the_way(pair: Pair, disk: Disk) -> None:
    port = free_port()
    log = disk.open()
    received: set[bytes] = set()
    shipper = shipper_to(port, pair, disk)
    thread = threading.Thread(target=shipper.run, daemon=True)
    thread.start()
    for round_ in range(4):
        with tls_server(pair, port) as server:
            for number in range(20):
                disk.write(log, f"event{round_}-{number}")
            expected = set(lines_of(disk))
            wait_until(lambda: received | set(server.lines()) == expected)  # noqa: B023 - used now
            received |= set(server.lines())
        time.sleep(0.2)
    shipper.stop()
    thread.join()
    assert received == set(lines_of(disk))
