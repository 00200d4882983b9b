"""The log queue: a slow or missing reader of the log does not block the threads that log."""

import logging
import os
import time
from collections.abc import Iterator
from functools import partial

import pytest

from strongroom.telemetry.log_queue import LogQueue


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def record_of(message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("strongroom.test", logging.WARNING, __file__, 1, message, args, None)


def read(descriptor: int, count: int) -> list[str]:
    """Read ``count`` lines."""
    text = ""
    while text.count("\n") < count:
        text += os.read(descriptor, 1 << 16).decode()
    return text.splitlines()


def test_lines_are_written_in_order_and_all_before_the_queue_is_closed(pipe: tuple[int, int]) -> None:
    queue = LogQueue(pipe[1])
    queue.start()
    for number in range(0, 100, 2):
        queue.handle(record_of("line %d", number))
        assert queue.defer(partial(record_of, "line %d", number + 1))
    queue.close_soon()
    assert read(pipe[0], 100) == [f"line {number}" for number in range(100)]


@pytest.mark.parametrize("blocking", [True, False])
def test_a_reader_that_hangs_blocks_no_thread_and_lost_lines_are_counted(
    pipe: tuple[int, int], *, blocking: bool
) -> None:
    os.set_blocking(pipe[1], blocking)
    queue = LogQueue(pipe[1])
    queue.start()
    long = "x" * 100_000
    queue.handle(record_of(long))
    while queue._lines.qsize():
        time.sleep(0.01)
    kept = [queue.defer(lambda: record_of("call")) for _ in range(12_000)]
    assert kept.count(True) == 10_000
    for _ in range(1500):
        queue.handle(record_of("wrong"))
    lines = read(pipe[0], 11_002)
    assert lines.count("2500 lines of the log found no room to wait") == 1
    assert lines.count(long) == 1
    assert lines.count("call") == 10_000
    assert lines.count("wrong") == 1000
    queue.close_soon()


def test_closing_waits_for_the_reader_for_a_limited_time(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strongroom.telemetry.log_queue._PATIENCE", 0.2)
    queue = LogQueue(pipe[1])
    queue.start()
    queue.handle(record_of("x" * 100_000))
    begun = time.monotonic()
    queue.close_soon()
    assert 0.2 <= time.monotonic() - begun < 30
    assert queue._writer.daemon
    read(pipe[0], 1)
    queue._writer.join()


def test_a_record_that_cannot_be_formatted_is_reported_and_the_others_are_written(pipe: tuple[int, int]) -> None:
    queue = LogQueue(pipe[1])
    queue.start()
    queue.handle(record_of("%d keys", "seven"))
    queue.defer(lambda: record_of("%d grants", "seven"))
    queue.handle(record_of("\ud800"))
    queue.close_soon()
    assert read(pipe[0], 3) == [
        "a line of strongroom.test cannot be written: '%d keys'",
        "a line of strongroom.test cannot be written: '%d grants'",
        "\\ud800",
    ]


def test_a_closed_pipe_does_not_raise() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    queue = LogQueue(writing)
    queue.start()
    for _ in range(10):
        queue.handle(record_of("lost"))
    queue.close_soon()
    assert not queue._writer.is_alive()
    os.close(writing)
