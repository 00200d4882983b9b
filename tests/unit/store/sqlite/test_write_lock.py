"""The queue of writers: threads, processes, writers that time out, and processes that are killed."""

import errno
import fcntl
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from child_processes import killed
from keys_builder import make_key
from strongroom.errors import DependencyTimeoutException
from strongroom.store.protocol import Store
from strongroom.store.sqlite.store import SqlStore
from strongroom.store.sqlite.write_lock import WriteLock

LONG = 60.0
"""Seconds for which a writer waits that must not give up."""
HOLDER = """
import sys, time
from pathlib import Path
from strongroom.store.sqlite.write_lock import WriteLock
with WriteLock(Path(sys.argv[1]), 5).held():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "writer"


def hold(lock: WriteLock, entered: Event, until: Event) -> None:
    with lock.held():
        entered.set()
        assert until.wait(60)


def test_a_process_that_is_killed_lets_go(path: Path) -> None:
    lock = WriteLock(path, 0.2)
    with (
        subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE) as holder,
        killed(holder),
    ):
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(DependencyTimeoutException), lock.held():
            pytest.fail("two held it")
        patient = WriteLock(path, LONG)
        entered, until = Event(), Event()
        waiting = Thread(target=hold, args=(patient, entered, until))
        waiting.start()
        assert not entered.wait(0.1)
        holder.kill()
        assert entered.wait(60)
        until.set()
        waiting.join()


def test_a_waiter_that_gave_up_does_not_get_it_later(path: Path) -> None:
    one, other = WriteLock(path, 0.05), WriteLock(path, LONG)
    with other.held():
        for _ in range(3):
            with pytest.raises(DependencyTimeoutException), one.held():
                pytest.fail("two held it")
    for _ in range(3):
        with other.held():
            pass
    with one.held():
        pass


def test_threads_give_up_too(path: Path) -> None:
    lock = WriteLock(path, 0.05)
    entered, until = Event(), Event()
    holder = Thread(target=hold, args=(lock, entered, until))
    holder.start()
    assert entered.wait(60)
    with pytest.raises(DependencyTimeoutException), lock.held():
        pytest.fail("two held it")
    until.set()
    holder.join()
    with WriteLock(path, 0.05).held():
        pass


def test_a_process_whose_threads_always_want_more_lets_others_have_turns(path: Path) -> None:
    end = time.monotonic() + LONG
    turns = [0, 0]

    def write(number: int, lock: WriteLock) -> None:
        while turns[1] < 20 and time.monotonic() < end:
            with lock.held():
                turns[number] += 1
                time.sleep(0.0005)

    locks = [WriteLock(path, LONG), WriteLock(path, LONG)]
    threads = [Thread(target=write, args=(number, locks[number])) for number in (0, 0, 0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert turns[1] >= 20, turns
    assert turns[0] < 50 * turns[1], turns


def test_what_fails_lets_go(path: Path) -> None:
    lock = WriteLock(path, 0.2)
    with pytest.raises(LookupError), lock.held():
        raise LookupError
    with lock.held():
        pass


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Leave this process none of its file descriptors to open anything with."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_without_descriptors_a_write_is_a_typed_fault(store: Store) -> None:
    for _ in range(2):
        with no_descriptors(), pytest.raises(DependencyTimeoutException):
            store.write(lambda _: pytest.fail("it was written without the lock"))
    store.write(lambda transaction: transaction.add_key(make_key()))


def no_threads(_: Thread) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("when", ["at once", "waiting", "no thread"])
def test_without_locks_or_threads_every_waiter_fails_and_nothing_is_left_open(
    path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    flock = fcntl.flock

    def exhausted(descriptor: int, how: int) -> None:
        if when == "at once" or (when == "waiting" and not how & fcntl.LOCK_NB):
            raise OSError(errno.ENOLCK, "No locks available")
        flock(descriptor, how)

    lock, other = WriteLock(path, LONG), WriteLock(path, LONG)
    with other.held():
        before, begun = descriptors(), time.monotonic()
        with monkeypatch.context() as patched:
            patched.setattr(fcntl, "flock", exhausted)
            if when == "no thread":
                patched.setattr(Thread, "start", no_threads)
            with pytest.raises(DependencyTimeoutException), lock.held():
                pytest.fail("two held it")
        assert time.monotonic() - begun < LONG / 2
        assert descriptors() == before
    with lock.held():
        pass


def test_a_transaction_waits_for_the_one_of_another_process(store: Store, tmp_path: Path) -> None:
    done = Event()

    def add() -> None:
        store.write(lambda transaction: transaction.add_key(make_key()))
        done.set()

    with WriteLock(tmp_path / "strongroom.db-writer", LONG).held():
        adding = Thread(target=add)
        adding.start()
        assert not done.wait(0.2)
    assert done.wait(60)
    adding.join()


def test_waits_that_time_out_are_counted(store: SqlStore, tmp_path: Path) -> None:
    store._lock._timeout = 0.05
    with (
        WriteLock(tmp_path / "strongroom.db-writer", LONG).held(),
        pytest.raises(DependencyTimeoutException),
    ):
        store.write(lambda _: pytest.fail("two held it"))
    assert sum(store.counters.faults.values()) == 1
    store.write(lambda transaction: transaction.add_key(make_key()))
    assert sum(store.counters.faults.values()) == 1
