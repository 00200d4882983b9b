"""One writer at a time, among the threads of this process and among processes.

SQLite has one writer, too. Those that wait for it poll, with sleeps of up to a tenth of a second: whoever polls at the
right moment is next, and some wait a hundred times as long as others. Here they are woken: threads at a lock of their
own, and one of each process at a lock on a file (flock(2)), which the kernel hands on, and takes from the dead. These
are no strict lines: who comes just when a lock is let go may be faster than who is being woken. Handing it to the one
who has waited longest would keep everybody waiting until that thread runs.
"""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from threading import Condition, Thread

from strongroom.errors import DependencyTimeoutException

_TURN = 0.003
"""How long a process may go on while others wait, seconds. A lock handed on for each write costs twice the CPU."""


class WriteLock:
    """The lock on the file ``path``, made if missing. ``patience``: how long to wait at each of the two, seconds."""

    def __init__(self, path: Path, patience: float) -> None:
        self._path = path
        self._patience = patience
        self._threads = Condition()
        self._waiting = 0
        self._is_held = False
        self._descriptor: int | None = None
        self._turn_ends = 0.0
        os.close(self._open())

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock for as long as the block lasts; raises DependencyTimeoutException."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def enter(self) -> None:
        """Take the lock; raises DependencyTimeoutException."""
        self._enter()
        try:
            if self._descriptor is None:
                self._descriptor = self._taken()
                self._turn_ends = time.monotonic() + _TURN
        except OSError as error:
            # No file descriptors, threads or locks are left.
            self.leave()
            raise _timeout() from error
        except BaseException:
            self.leave()
            raise

    def pass_on(self) -> bool:
        """Let go for a thread of this process that will take the lock next; false if none waits or its turn is over."""
        with self._threads:
            if not self._waiting or time.monotonic() > self._turn_ends:
                return False
            self._is_held = False
            self._threads.notify()
            return True

    def leave(self) -> None:
        """Let go."""
        with self._threads:
            if self._descriptor is not None and (not self._waiting or time.monotonic() > self._turn_ends):
                os.close(self._descriptor)
                self._descriptor = None
            self._is_held = False
            self._threads.notify()

    def _enter(self) -> None:
        with self._threads:
            self._waiting += 1
            try:
                if not self._threads.wait_for(lambda: not self._is_held, self._patience):
                    raise _timeout()
            finally:
                self._waiting -= 1
            self._is_held = True

    def _taken(self) -> int:
        """Return a descriptor that holds the lock until it is closed; raises OSError, such as TimeoutError."""
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return self._waited_for(descriptor)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _waited_for(self, descriptor: int) -> int:
        """Wait on a thread of its own, because flock knows no time limit; the thread ends when it gets the lock."""
        taken: Future[None] = Future()

        def take() -> None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except BaseException as error:  # noqa: BLE001 - who waits raises it
                taken.set_exception(error)
            else:
                taken.set_result(None)

        try:
            Thread(target=take, name="write-lock", daemon=True).start()
        except RuntimeError as error:
            os.close(descriptor)
            raise OSError(errno.EAGAIN, "no thread could be started") from error
        try:
            taken.result(self._patience)
        except BaseException:
            # Whenever it comes, nobody is there to use it.
            taken.add_done_callback(lambda _: os.close(descriptor))
            raise
        return descriptor

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _timeout() -> DependencyTimeoutException:
    return DependencyTimeoutException("The key store did not answer in time.")
