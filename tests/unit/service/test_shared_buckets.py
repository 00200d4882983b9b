"""Token buckets that several processes share: exact, also when one dies, is stopped, or damages the file."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strongroom.service.shared_buckets import SharedBuckets
from strongroom.token_bucket import TokenBucket

NOW = 1_790_000_000.0
numbers = count()
NAME = ("111122223333", "us-east-1", "symmetric")

TAKE = """
import sys
from pathlib import Path
from strongroom.service.shared_buckets import SharedBuckets
buckets = SharedBuckets(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
taken = sum(buckets.take(("a", "r", f"kind-{n % 7}"), 1000.0, float(sys.argv[2]), 1) for n in range(7 * 1000))
print(taken, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "request-quotas"


@pytest.fixture
def buckets(path: Path) -> Iterator[SharedBuckets]:
    opened = SharedBuckets(path)
    yield opened
    opened.close()


def test_the_file_is_private(buckets: SharedBuckets, path: Path) -> None:
    assert buckets.take(NAME, 1.0, NOW, 1)
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_file_has_all_its_space_from_the_start(path: Path) -> None:
    """Otherwise a full disk would kill the process that writes to a part of the file for the first time."""
    SharedBuckets(path).close()
    status = path.stat()
    assert status.st_blocks * 512 >= status.st_size > 0


def test_workers_take_exactly_what_there_is(path: Path) -> None:
    """Four processes ask for 28,000 tokens of buckets that hold 7,000, all at once."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", TAKE, str(path), str(NOW)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    assert sum(int(worker.communicate(timeout=60)[0]) for worker in workers) == 7000


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rate=st.sampled_from([0.5, 1.0, 2.0, 8.0]),
    calls=st.lists(st.tuples(st.integers(0, 24), st.sampled_from([1, 1, 1, 2])), max_size=60),
)
def test_it_counts_like_a_token_bucket(buckets: SharedBuckets, rate: float, calls: list[tuple[int, int]]) -> None:
    name = ("", "", f"example {next(numbers)}")
    now, other = NOW, TokenBucket(rate, max(rate, 1.0), NOW)
    for eighths, cost in calls:
        now += eighths / 8  # which both count without rounding
        assert buckets.take(name, rate, now, cost) == other.take(now, cost)


def test_buckets_do_not_mix_also_when_there_are_thousands(buckets: SharedBuckets) -> None:
    names = [(f"{number:012}", "us-east-1", "rsa") for number in range(4000)]
    assert all(buckets.take(name, 1.0, NOW, 1) for name in names)
    assert not any(buckets.take(name, 1.0, NOW, 1) for name in names)
    # A second later all are full, so that others can have their places.
    assert all(buckets.take((name[0], "eu-west-1", "rsa"), 1.0, NOW + 1, 1) for name in names)
    assert all(buckets.take(name, 1.0, NOW + 2, 1) for name in names)


def test_more_buckets_than_there_are_places_for(buckets: SharedBuckets) -> None:
    """Some begin anew; none is refused that should not be."""
    assert all(buckets.take((str(number), "r", "k"), 1.0, NOW, 1) for number in range(20_000))


@pytest.mark.parametrize("rate", [1e-308, 1e-12, 1e-3, 0.9, 1e9, 1e12, float("inf")])
def test_rates_of_any_size(buckets: SharedBuckets, rate: float) -> None:
    assert buckets.take(NAME, rate, NOW, 2)
    assert buckets.take(NAME, rate, NOW, 1) is (rate > 1)


def test_a_clock_that_was_set_back_stops_nobody(buckets: SharedBuckets) -> None:
    for _ in range(5):
        buckets.take(NAME, 5.0, NOW + 86_400, 1)
    assert not buckets.take(NAME, 5.0, NOW, 1)
    assert not buckets.take(NAME, 5.0, NOW + 0.1, 1)
    assert buckets.take(NAME, 5.0, NOW + 1.5, 1)


@pytest.mark.parametrize("fill", [0x00, 0x7F, 0x80, 0xFF])
def test_a_damaged_file_stops_nobody(path: Path, fill: int) -> None:
    path.write_bytes(bytes((fill,)) * 300_000)
    buckets = SharedBuckets(path)
    allowed = [sum(buckets.take(NAME, 5.0, NOW + second, 1) for _ in range(20)) for second in range(4)]
    assert allowed[-1] == 5
    buckets.close()


def test_a_worker_that_stopped_with_the_lock_does_not_stop_the_others(buckets: SharedBuckets, path: Path) -> None:
    holder = os.open(path, os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)
    began = time.monotonic()
    assert sum(buckets.take(NAME, 100.0, NOW, 1) for _ in range(200)) == 100
    assert time.monotonic() - began < 10
    os.close(holder)  # as when its process ends
    assert buckets.take(NAME, 100.0, NOW + 1, 1)
