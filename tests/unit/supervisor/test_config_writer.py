"""Settings reach a worker whole and in order, and one that does not read delays no other."""

import os
from collections.abc import Iterator
from typing import IO

import pytest

from strongroom.supervisor.config_writer import ConfigWriter

LINE = b"x" * 200_000 + b"\n"
"""More than a pipe has room for."""


@pytest.fixture
def pipe() -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as reader, os.fdopen(writing, "wb", buffering=0) as writer:
        os.set_blocking(reader.fileno(), False)
        yield reader, writer


def test_a_line_is_finished_before_the_last_of_those_that_wait(pipe: tuple[IO[bytes], IO[bytes]]) -> None:
    reader, writer = pipe[0], ConfigWriter(pipe[1])
    for line in (LINE, b"second\n", b"third\n"):
        writer.send(line, wait=False)
    received = b""
    while not received.endswith(b"third\n"):
        received += reader.read(65536) or b""
        writer.flush()
    assert received == LINE + b"third\n"


def test_a_worker_that_has_ended_is_no_error(pipe: tuple[IO[bytes], IO[bytes]]) -> None:
    writer = ConfigWriter(pipe[1])
    pipe[0].close()
    writer.send(b"line\n", wait=True)
    writer.close()
