"""The way of an event from the spool over the queues to the destinations: bounds, order, retries, what is dropped."""

import errno
import os
import threading
from pathlib import Path

import pytest

from server_processes import wait_until
from strongroom.clock import DAY, ManualClock, SystemClock
from strongroom.entropy import system_entropy
from strongroom.event_destinations import EventDestination
from strongroom.events.destination import DeliveryError
from strongroom.events.distribution import distribute
from strongroom.events.event import Event, own_event
from strongroom.events.queue import Queue
from strongroom.events.sender import Sender
from strongroom.events.spool import Spool

SETTING = EventDestination("file:/nowhere")


class MemoryDestination:
    """Keeps the events that it gets; fails while ``fault`` is set."""

    def __init__(self) -> None:
        self.got: list[Event] = []
        self.tried = 0
        self.fault = ""
        self.kind: type[Exception] = DeliveryError

    def deliver(self, event: Event) -> None:
        self.tried += 1
        if self.fault:
            raise self.kind(self.fault)
        self.got.append(event)

    def close(self) -> None:
        pass


def event_at(now: float, name: str, detail_type: str = "Test") -> Event:
    return own_event(detail_type, {"name": name}, event_id=name, now=now, account="000000000000", region="us-east-1")


def names(destination: MemoryDestination) -> list[object]:
    return [event.detail["name"] for event in destination.got]


class Node:
    """The spool of a node, and senders to destinations in memory."""

    def __init__(self, folder: Path, clock: ManualClock, limit: int = 100, *settings: EventDestination) -> None:
        self.clock = clock
        self.spool = Spool(folder, limit, clock.now)
        self.spool.prepare()
        self.ready = folder / "ready"
        self.to = [MemoryDestination() for _ in settings or (SETTING,)]
        self.queues = [Queue(folder / "queues" / str(index), limit) for index in range(len(self.to))]
        for queue in self.queues:
            queue.prepare()
        self.settings = settings or (SETTING,)
        self.senders = self.restarted()

    def restarted(self) -> list[Sender]:
        self.senders = [
            Sender(setting, to, queue, self.clock, system_entropy)
            for setting, to, queue in zip(self.settings, self.to, self.queues, strict=True)
        ]
        return self.senders

    def add(self, name: str, detail_type: str = "Test") -> None:
        assert self.spool.add(event_at(self.clock.now(), name, detail_type))
        self.clock.advance(1)

    def send(self) -> None:
        """Send all that is there, as at a stop; the senders begin anew, as at a start."""
        distribute(self.spool, self.senders)
        for each in self.senders:
            each.stop()
            each.run()

    def waiting(self) -> list[str]:
        return [path.name.partition("-")[2] for path in self.queues[0].waiting()]


def test_events_arrive_in_their_order_at_each_destination_that_takes_them(tmp_path: Path, clock: ManualClock) -> None:
    some = EventDestination("file:/some", detail_types=("KMS CMK Deletion",))
    node = Node(tmp_path, clock, 100, SETTING, some)
    for name, kind in (("a", "Test"), ("b", "KMS CMK Deletion"), ("c", "Test")):
        node.add(name, kind)
    node.send()
    assert (names(node.to[0]), names(node.to[1])) == (["a", "b", "c"], ["b"])
    assert list(node.ready.iterdir()) == []
    assert node.senders[0].status().sent == 3


def test_what_a_destination_does_not_take_waits_for_it_over_a_restart(tmp_path: Path, clock: ManualClock) -> None:
    node = Node(tmp_path, clock)
    node.to[0].fault = "it is away"
    node.add("a")
    node.add("b")
    node.send()
    status = node.senders[0].status()
    assert (status.waiting, status.failures, status.failing, status.sent) == (2, 1, "it is away", 0)
    node.to[0].fault = ""
    node.restarted()
    node.send()
    assert names(node.to[0]) == ["a", "b"]
    assert node.senders[0].status().failing == ""


def test_a_full_queue_drops_the_oldest_and_tells_so(
    tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    node = Node(tmp_path, clock, 3)
    node.to[0].fault = "it is away"
    for name in "abcde":
        node.add(name)
        distribute(node.spool, node.senders)
    assert node.waiting() == ["c", "d", "e"]
    assert node.senders[0].status().dropped == 2
    assert "too many events wait for file:/nowhere" in caplog.text


def test_a_full_spool_drops_the_oldest(tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    node = Node(tmp_path, clock, 3)
    for name in "abcde":
        node.add(name)
    node.send()
    assert names(node.to[0]) == ["c", "d", "e"]
    assert "the oldest is dropped" in caplog.text


def test_an_event_that_was_not_taken_for_three_days_gives_way_to_the_next(tmp_path: Path, clock: ManualClock) -> None:
    node = Node(tmp_path, clock)
    node.to[0].fault = "it is refused"
    node.add("poison")
    node.send()
    clock.advance(3 * DAY + 1)
    node.add("next")
    node.to[0].fault = ""
    node.restarted()
    node.send()
    assert names(node.to[0]) == ["next"]
    assert node.senders[0].status().dropped == 1


def test_damaged_files_are_dropped(tmp_path: Path, clock: ManualClock) -> None:
    node = Node(tmp_path, clock)
    (node.ready / "0-half").write_bytes(b'{"version":')
    (tmp_path / "queues" / "0" / "0-half").write_bytes(b"\xff")
    node.add("a")
    node.send()
    assert names(node.to[0]) == ["a"]
    assert node.senders[0].status().dropped == 1


def test_an_intention_that_a_crash_has_damaged_is_dropped(tmp_path: Path, clock: ManualClock) -> None:
    node = Node(tmp_path, clock)
    (tmp_path / "intended" / "half").write_bytes(b'{"version":')
    assert node.spool.is_undecided()
    node.spool.settle(lambda _event: True)
    assert not node.spool.is_undecided()
    assert node.spool.ready() == []


def test_a_file_that_cannot_be_read_holds_up_no_other(
    tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    node = Node(tmp_path, clock)
    bad = node.ready / "0-bad"
    os.mkfifo(bad)
    os.mkfifo(tmp_path / "queues" / "0" / "0-worse")
    node.add("a")
    with pytest.raises(OSError, match="0-bad"):
        distribute(node.spool, node.senders)
    bad.unlink()
    node.send()
    assert names(node.to[0]) == ["a"]
    assert caplog.text.count("0-worse") == 1


def test_events_are_copied_where_the_file_system_has_no_links(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links")

    monkeypatch.setattr("os.link", refuse)
    node = Node(tmp_path, clock, 100, SETTING, EventDestination("file:/other"))
    (tmp_path / "queues" / "0" / "half.new").write_bytes(b"{")
    node.add("a")
    distribute(node.spool, node.senders)
    assert node.waiting() == ["a"]
    node.send()
    assert [names(each) for each in node.to] == [["a"], ["a"]]


def test_a_large_spool_is_distributed_in_parts(tmp_path: Path, clock: ManualClock) -> None:
    node = Node(tmp_path, clock, 1000)
    for number in range(250):
        (node.ready / f"{number:03d}").write_bytes(event_at(0, str(number)).encode())
    distribute(node.spool, node.senders)
    assert (len(node.spool.ready()), len(node.waiting())) == (50, 200)


def test_a_sender_that_is_abandoned_in_a_delivery_begins_no_other(tmp_path: Path, clock: ManualClock) -> None:
    node = Node(tmp_path, clock)
    for name in "ab":
        node.add(name)
    distribute(node.spool, node.senders)
    begun, go_on = threading.Event(), threading.Event()
    deliver = node.to[0].deliver

    def slow(event: Event) -> None:
        begun.set()
        assert go_on.wait(60)
        deliver(event)

    node.to[0].deliver = slow  # type: ignore[method-assign]
    thread = threading.Thread(target=node.senders[0].run)
    thread.start()
    assert begun.wait(60)
    node.senders[0].abandon()
    go_on.set()
    thread.join()
    assert names(node.to[0]) == ["a"]
    assert node.waiting() == ["b"]


def test_what_a_killed_process_has_left_half_written_is_removed_at_a_start(tmp_path: Path, clock: ManualClock) -> None:
    node = Node(tmp_path, clock)
    node.add("a")
    for folder in ("intended", "ready"):
        (tmp_path / folder / "b.new").write_bytes(b'{"half')
    node.spool.clear_drafts()
    assert list((tmp_path / "intended").iterdir()) == []
    assert len(list(node.ready.iterdir())) == 1


def test_a_fault_that_was_not_foreseen_stops_no_sender(
    tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    node = Node(tmp_path, clock)
    node.to[0].fault, node.to[0].kind = "surprise", ValueError
    node.add("a")
    node.send()
    assert node.senders[0].status().failing == "ValueError: see the log"
    assert "surprise" in caplog.text


def test_an_event_is_queued_again_if_a_crash_came_before_it_left_the_spool(tmp_path: Path, clock: ManualClock) -> None:
    node = Node(tmp_path, clock)
    node.add("a")
    (spooled,) = node.spool.ready()
    node.senders[0].offer(spooled, event_at(0, "a"))
    node.send()
    assert names(node.to[0]) == ["a"]


def test_a_failing_destination_is_tried_again_after_pauses_and_then_gets_everything(tmp_path: Path) -> None:
    queue, to = Queue(tmp_path / "queue", 100), MemoryDestination()
    queue.prepare()
    spool = Spool(tmp_path, 100, SystemClock.now)
    spool.prepare()
    sender = Sender(SETTING, to, queue, SystemClock(), system_entropy)
    to.fault = "it is away"
    thread = threading.Thread(target=sender.run)
    thread.start()
    spool.add(event_at(SystemClock.now(), "a"))
    distribute(spool, [sender])
    wait_until(lambda: to.tried >= 2)
    to.fault = ""
    wait_until(lambda: names(to) == ["a"])
    sender.stop()
    thread.join()
