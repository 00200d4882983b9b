"""A start that gets too few threads, too little memory or too few open files ends by itself, with one line."""

import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from started_servers import failed_start, readable_by_all

NOBODY = 65_431
"""A user without any other process: the limit of processes counts all of a user's, and does not hold for root."""
MEGABYTE = 1_000_000


def memory(megabytes: int) -> Callable[[], None]:
    """Limit the address space, which stacks of threads take most of."""
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (megabytes * MEGABYTE, megabytes * MEGABYTE))


def files(count: int) -> Callable[[], None]:
    """Limit the open files."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


def processes(count: int) -> Callable[[], None]:
    """Become a user of which the kernel allows so many processes and threads."""

    def limit() -> None:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        resource.setrlimit(resource.RLIMIT_NPROC, (count, count))

    return limit


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("megabytes", [40, 100, 120, 300])
def test_too_little_memory(tmp_path: Path, megabytes: int, workers: str) -> None:
    began = time.monotonic()
    ended = failed_start(tmp_path / "data", "--workers", workers, limit=memory(megabytes))
    assert ended.code == 1
    assert any(word in ended.last_line for word in ("memory", "no thread can be started"))
    assert time.monotonic() - began < 100
    # Below what the interpreter needs for its own modules, its words come first.
    assert megabytes < 120 or ended.errors.count("\n") == 1


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("count", [8, 50, 95])
def test_too_few_open_files(tmp_path: Path, count: int, workers: str) -> None:
    ended = failed_start(tmp_path / "data", "--workers", workers, limit=files(count))
    assert ended.code == 1
    assert ended.errors == (
        "Error: no file descriptor is left: raise the limit of open files (ulimit -Hn, LimitNOFILE of systemd)\n"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user, for whom the limit holds")
@pytest.mark.parametrize(("workers", "count"), [("1", 1), ("1", 4), ("1", 16), ("2", 2), ("2", 6), ("2", 30)])
def test_too_few_processes(workers: str, count: int) -> None:
    if not readable_by_all():
        pytest.skip("another user cannot run the Python that runs this")
    # Not below ``tmp_path``, which pytest keeps from other users.
    with tempfile.TemporaryDirectory(prefix="strongroom-starved-") as folder:
        data = Path(folder)
        os.chown(data, NOBODY, NOBODY)
        ended = failed_start(data, "--workers", workers, limit=processes(count))
    assert ended.code == 1
    # What first met the limit may have logged a line, too.
    assert ended.errors.count("\n") <= 2
    assert "Traceback" not in ended.errors
    assert "can be started" in ended.last_line or "no thread could be started" in ended.last_line
