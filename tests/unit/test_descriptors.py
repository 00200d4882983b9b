"""Waiting for descriptors, also of numbers that select(2) cannot take."""

import fcntl
import os
import resource
from collections.abc import Iterator
from contextlib import suppress

import pytest

from strongroom.descriptors import readable, wait_writable

ABOVE = 1024
"""The least number that select(2) cannot take."""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Return both ends of a pipe, the one to read from first, under numbers that select(2) cannot take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * ABOVE)), hard))
    ends = os.pipe()
    reader, writer = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, ABOVE) for end in ends)
    for end in ends:
        os.close(end)
    yield reader, writer
    for end in (reader, writer):
        with suppress(OSError):
            os.close(end)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_can_be_read(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    assert reader >= ABOVE
    assert readable([reader], 0) == set()
    assert readable([reader], 0.0001) == set()
    os.write(writer, b"x")
    assert readable([reader], None) == {reader}
    assert os.read(reader, 1) == b"x"
    assert readable([reader], -1) == set()


def test_a_closed_end_can_be_read(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.close(writer)
    assert readable([reader], None) == {reader}
    assert os.read(reader, 1) == b""


def test_only_those_that_can_be_read_are_returned(pipe: tuple[int, int]) -> None:
    first, second = os.pipe()
    try:
        os.write(second, b"x")
        assert readable([pipe[0], first], None) == {first}
    finally:
        os.close(first)
        os.close(second)


def test_what_can_be_written(pipe: tuple[int, int]) -> None:
    wait_writable(pipe[1])
    os.close(pipe[0])
    wait_writable(pipe[1])
