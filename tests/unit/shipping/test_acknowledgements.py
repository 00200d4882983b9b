"""A worker asks which of its lines were taken, over the socket of the process that ships."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from audit_disk import Disk
from shipping import MemoryDestination, ship, shipper_of
from strongroom.shipping.acknowledgements import Acknowledgements, connect_to
from strongroom.shipping.shipper import Shipper
from strongroom.store.audit.log import AuditLog


class Scene:
    """A log, a destination that takes it, and the connection of a worker."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.disk = disk
        self.state = folder / "state"
        self.log = disk.open()
        disk.write(self.log, "first")
        self.shipper = self.new_shipper()
        self.asked = Acknowledgements(folder / "shipping", [self.shipper])
        self.worker = connect_to(folder / "shipping")

    def new_shipper(self) -> Shipper:
        return shipper_of(self.disk.folder, self.state, MemoryDestination(), self.disk.clock)

    def ask(self, request: bytes) -> bytes | None:
        """Send a request; return what is answered, b"" if the connection was closed, None if it waits."""
        self.worker.send(request)
        # Once for a connection that is new, and once for what came over it.
        for _ in range(2):
            self.asked.wait(0)
        try:
            return self.worker.recv(4096)
        except BlockingIOError:
            return None


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    (tmp_path / "audit").mkdir()
    made = Scene(tmp_path, Disk(tmp_path / "audit", monkeypatch))
    with closing(made.asked), closing(made.worker):
        yield made


def request(log: AuditLog, segment: str = "") -> bytes:
    written, number = log.last_line_place()
    return f"w0 {segment or written} {number}\n".encode()


def test_a_worker_is_told_when_its_line_was_taken(scene: Scene) -> None:
    assert scene.ask(request(scene.log)) is None
    ship(scene.shipper)
    assert scene.ask(request(scene.log)) == b"%d\n" % scene.log.last_line()
    # Once is enough.
    assert scene.ask(request(scene.log)) is None


def test_what_was_taken_of_another_segment_says_nothing(scene: Scene) -> None:
    """As after a failure of the machine that has set the numbers of lines back: they are given to other lines."""
    ship(scene.shipper)
    lost = scene.log.last_line_place()[0]
    new = lost.replace(lost[:4], "2199")
    assert new != lost
    assert scene.ask(request(scene.log, new)) is None
    assert scene.ask(request(scene.log)) == b"%d\n" % scene.log.last_line()


@pytest.mark.parametrize(
    "wrong", [b"w0 3\n", b"w0  3\n", b"w0 segment 3\n", b"- %s 3\n", b"w0 %s -3\n", b"w0 %s 3 4\n", b"\xff\n"]
)
def test_a_connection_that_asks_for_something_else_is_closed(scene: Scene, wrong: bytes) -> None:
    segment = scene.log.last_line_place()[0].encode()
    assert scene.ask(wrong.replace(b"%s", segment)) == b""
