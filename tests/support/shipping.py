"""Ships an audit log on a thread of the test, and servers that the log can be shipped to."""

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import botocore.session

from audit_disk import Disk
from free_ports import free_port
from programs import program
from server_processes import wait_until
from strongroom.clock import Clock
from strongroom.shipping.destination import Destination, DestinationError
from strongroom.shipping.folder import FolderDestination
from strongroom.shipping.progress import Progress
from strongroom.shipping.shipper import Shipper
from strongroom.store.audit.log import AuditLog
from strongroom.store.audit.segment_source import Piece, Source
from strongroom.store.audit.segments import segments_of
from tls_files import Pair


class MemoryDestination:
    """Keeps the pieces that it gets. It fails while ``fault`` is set, before it takes anything."""

    def __init__(self, *, whole: bool = False) -> None:
        self.takes_whole_segments = whole
        self.pieces: list[Piece] = []
        self.cuts: list[tuple[str, int]] = []
        self.fault = ""

    def prepare(self, *, shipped_before: bool) -> None:
        pass

    def take(self, piece: Piece) -> None:
        if self.fault:
            raise DestinationError(self.fault)
        self.pieces.append(piece)

    def size_of(self, segment: str) -> int | None:  # noqa: ARG002 - it does not tell
        return None

    def cut(self, segment: str, size: int) -> None:
        self.cuts.append((segment, size))

    def close(self) -> None:
        pass

    def content(self) -> dict[str, bytes]:
        """Return the files that the pieces make."""
        found: dict[str, bytearray] = {}
        for piece in self.pieces:
            file = found.setdefault(piece.segment, bytearray())
            file[piece.offset :] = piece.data
        return {name: bytes(content) for name, content in found.items()}


def shipper_of(
    audit: Path, state: Path, destination: Destination, clock: Clock, *, interval: float = 0.0, to: str = "there"
) -> Shipper:
    """Return what ships a folder of segments."""
    source, progress = Source(audit, clock.now), Progress(state, to)
    return Shipper(
        to, destination, source, progress, interval=interval, required=False, now=clock.now, timer=clock.timer
    )


def ship(shipper: Shipper) -> None:
    """Ship all that is there, as at a clean stop."""
    shipper.stop()
    shipper.run()


def content_of(folder: Path) -> dict[str, bytes]:
    """Return the segments in a folder."""
    return {each.name: each.path.read_bytes() for each in segments_of(folder)}


def _answers(port: int) -> bool:
    with closing(socket.socket()) as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def _process(command: list[str], port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as errors, subprocess.Popen(command, stdout=errors, stderr=errors) as process:
        try:
            wait_until(lambda: _answers(port) or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            yield process
        finally:
            process.kill()


@contextmanager
def rsyslog(folder: Path, pair: Pair, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run rsyslogd, which takes messages over TLS and writes what is in them to ``messages`` in a folder."""
    folder.mkdir(exist_ok=True)
    config = folder / "rsyslog.conf"
    config.write_text(
        f"""
global(workDirectory="{folder}" maxMessageSize="256k"
  DefaultNetstreamDriver="gtls" DefaultNetstreamDriverCAFile="{pair.certificate}"
  DefaultNetstreamDriverCertFile="{pair.certificate}" DefaultNetstreamDriverKeyFile="{pair.key}")
module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.Authmode="anon")
template(name="whole" type="list") {{ property(name="msg") constant(value="\\n") }}
template(name="head" type="string" string="%PRI% %TIMESTAMP:::date-rfc3339% %HOSTNAME% %APP-NAME% %PROCID% %MSGID%\\n")
action(type="omfile" file="{folder}/messages" template="whole" asyncWriting="off" flushOnTXEnd="on")
action(type="omfile" file="{folder}/heads" template="head" asyncWriting="off" flushOnTXEnd="on")
input(type="imtcp" port="{port}" address="127.0.0.1")
"""
    )
    command = [program("rsyslogd", "rsyslog-gnutls"), "-n", "-f", str(config), "-i", str(folder / "pid")]
    with _process(command, port, log) as process:
        yield process


@contextmanager
def object_storage(log: Path) -> Iterator[int]:
    """Run moto's S3; yield its port."""
    port = free_port()
    command = [sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(port)]
    with _process(command, port, log):
        yield port


def s3_client(port: int) -> Any:
    """Return a client of the storage, for tests to look into it."""
    return botocore.session.get_session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


def objects_of(port: int, bucket: str) -> dict[str, bytes]:
    """Return all objects of a bucket."""
    client = s3_client(port)
    found = client.list_objects_v2(Bucket=bucket).get("Contents", ())
    return {each["Key"]: client.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in found}


@contextmanager
def writing(work: Callable[[], object]) -> Iterator[None]:
    """Work again and again, on a thread, until the end of the block."""
    stop, failed = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            while not stop.is_set():
                work()
        except BaseException as error:  # noqa: BLE001 - raised below
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not failed


def process_of(server_pid: int, module: str) -> int | None:
    """Return the id of the child of a supervisor that runs a module."""
    for child in Path(f"/proc/{server_pid}/task/{server_pid}/children").read_text().split():
        try:
            command = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if module.encode() in command:
            return int(child)
    return None


def ship_to_folder(disk: Disk, copy: Path) -> str:
    """Ship what there is to a folder; return why that failed, if it did."""
    shipper = shipper_of(disk.folder, copy.parent / "state", FolderDestination(copy), disk.clock)
    ship(shipper)
    return shipper.status().failing


def fill(disk: Disk, log: AuditLog, lines: int) -> None:
    """Write some lines to a log."""
    for number in range(lines):
        disk.write(log, f"event{number}")
