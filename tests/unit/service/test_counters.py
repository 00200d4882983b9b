"""Notes of the event loop: counted by a scrape, or by the event loop itself if there are many."""

import threading

from strongroom.operations.kms.table import TABLE
from strongroom.service.counters import SUCCESS, CallCounters

ENCRYPT, DECRYPT = TABLE["Encrypt"], TABLE["Decrypt"]


def test_notes_are_counted_when_read_and_each_once() -> None:
    counters = CallCounters()
    counters.note((ENCRYPT, SUCCESS, 0.5))
    counters.note((ENCRYPT, "NotFoundException", 1.5))
    counters.note((None, "", 0.25))
    for _ in range(2):
        calls, flushes = counters.read()
        assert calls[ENCRYPT].outcomes == {SUCCESS: 1, "NotFoundException": 1}
        assert calls[ENCRYPT].durations.total == 2.0
        assert flushes.total == 0.25
        assert sum(flushes.counts) == 1


def test_many_notes_are_counted_without_a_scrape() -> None:
    counters = CallCounters()
    for _ in range(5000):
        counters.note((DECRYPT, SUCCESS, 0.001))
        counters.turned()
        assert len(counters._noted) <= 512
    assert counters.read()[0][DECRYPT].outcomes == {SUCCESS: 5000}


def test_none_is_lost_while_others_read() -> None:
    counters = CallCounters()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            counters.read()

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(50_000):
        counters.note((ENCRYPT, SUCCESS, 0.001))
        counters.turned()
    done.set()
    for reader in readers:
        reader.join()
    calls, _ = counters.read()
    assert calls[ENCRYPT].outcomes == {SUCCESS: 50_000}
    assert sum(calls[ENCRYPT].durations.counts) == 50_000


def test_only_what_was_refused_counts_as_refused() -> None:
    counters = CallCounters()
    for status in (200, 404, 503, 404):
        counters.answered_no_call(status)
    assert counters.refused_requests == {404: 2, 503: 1}
