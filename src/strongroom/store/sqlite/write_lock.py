"""A lock for one writer at a time, among the threads of this process and among processes.

SQLite allows one writer as well, but makes the others poll with sleeps of up to a tenth of a second, so that some wait
a hundred times as long as others. Here a waiting writer is woken: a thread by a condition variable, and one thread of
each process by a lock on a file (flock(2)), which the kernel hands to the next process and releases when its holder
dies. The order is not strictly first come, first served: a thread that arrives just when the lock is released may be
faster than the one being woken. Handing the lock to the longest waiting thread would block all others until that
thread is scheduled.
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

_TIME_SLICE = 0.003
"""How long a process may keep the file lock while others may wait for it, seconds.

Handing the file lock over after each write would cost twice the CPU time.
"""


class WriteLock:
    """The lock on the file ``path``, which is created if missing.

    ``timeout`` is how long to wait for other threads, and then again for other processes, in seconds.
    """

    def __init__(self, path: Path, timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._threads = Condition()
        self._waiting = 0
        self._is_held = False
        self._descriptor: int | None = None
        self._slice_ends = 0.0
        os.close(self._open())

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock until the end of the block; raises DependencyTimeoutException."""
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def acquire(self) -> None:
        """Take the lock; raises DependencyTimeoutException."""
        self._acquire_among_threads()
        try:
            if self._descriptor is None:
                self._descriptor = self._locked_file()
                self._slice_ends = time.monotonic() + _TIME_SLICE
        except OSError as error:
            # The process is out of file descriptors or threads, or the kernel is out of locks.
            self.release()
            raise _timed_out() from error
        except BaseException:
            self.release()
            raise

    def release_to_waiting_thread(self) -> bool:
        """Release the lock to another thread of this process.

        Returns False, and keeps the lock, if no thread waits or the time slice of this process is over.
        """
        with self._threads:
            if not self._waiting or time.monotonic() > self._slice_ends:
                return False
            self._is_held = False
            self._threads.notify()
            return True

    def release(self) -> None:
        """Release the lock; the file lock is kept for waiting threads of this process until its time slice is over."""
        with self._threads:
            if self._descriptor is not None and (not self._waiting or time.monotonic() > self._slice_ends):
                os.close(self._descriptor)
                self._descriptor = None
            self._is_held = False
            self._threads.notify()

    def _acquire_among_threads(self) -> None:
        with self._threads:
            self._waiting += 1
            try:
                if not self._threads.wait_for(lambda: not self._is_held, self._timeout):
                    raise _timed_out()
            finally:
                self._waiting -= 1
            self._is_held = True

    def _locked_file(self) -> int:
        """Return a descriptor that holds the file lock until it is closed; raises OSError, such as TimeoutError."""
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return self._wait_for_file_lock(descriptor)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _wait_for_file_lock(self, descriptor: int) -> int:
        """Wait in a separate thread, because flock has no timeout; the thread ends when it gets the lock."""
        taken: Future[None] = Future()

        def take() -> None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except BaseException as error:  # noqa: BLE001 - the waiting thread raises it
                taken.set_exception(error)
            else:
                taken.set_result(None)

        try:
            Thread(target=take, name="write-lock", daemon=True).start()
        except RuntimeError as error:
            os.close(descriptor)
            raise OSError(errno.EAGAIN, "no thread could be started") from error
        try:
            taken.result(self._timeout)
        except BaseException:
            # The thread may still get the lock later; then it is released at once.
            taken.add_done_callback(lambda _: os.close(descriptor))
            raise
        return descriptor

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _timed_out() -> DependencyTimeoutException:
    return DependencyTimeoutException("The key store did not answer in time.")
