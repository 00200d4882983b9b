"""Threads that call a token. A call of Cryptoki cannot be cancelled, so the one who waits for it can stop waiting.

A thread whose call hangs is lost until the call returns. While all are lost, further calls fail at once.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from strongroom.crypto.token_errors import TokenTimeoutError, TokenUnavailableError

T = TypeVar("T")


class _Job(Generic[T]):
    """Work for a thread, and how it ended."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._ended = threading.Lock()
        self._ended.acquire()
        self._result: T
        self._error: BaseException | None = None
        self.state = ""

    def perform(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is wanted
            self._error = error
        # Before the one who waits goes on: what only the work refers to ends with it.
        del self._work
        self._ended.release()

    def refuse(self, error: TokenTimeoutError | TokenUnavailableError) -> None:
        self._error = error
        self._ended.release()

    def wait(self, patience: float) -> bool:
        return self._ended.acquire(timeout=patience)

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._result


def _refusal_of_closed() -> TokenUnavailableError:
    return TokenUnavailableError("the connection to the token is closed")


class TokenThreads:
    """A bounded number of threads, started when they are first needed."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._jobs: SimpleQueue[_Job[object] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0
        self._idle = 0
        self._lost = 0
        self._closed = False

    @property
    def lost(self) -> int:
        """How many threads are in calls that nothing waits for any more."""
        return self._lost

    def run(self, work: Callable[[], T], patience: float) -> T:
        """Run work on a thread and return its result; raises what it raises.

        Raises TokenTimeoutError after ``patience`` seconds, or at once if all threads are lost, and
        TokenUnavailableError once they are closed.
        """
        job = _Job(work)
        with self._lock:
            if self._closed:
                raise _refusal_of_closed()
            if self._lost >= self._number:
                raise self._refusal_of_lost()
            if self._idle <= 0 and self._started < self._number:
                self._started += 1
                threading.Thread(target=self._serve, name=f"TOKEN_{self._started}", daemon=True).start()
            else:
                self._idle -= 1
            self._jobs.put(job)  # type: ignore[arg-type]
        if job.wait(patience):
            return job.result()
        with self._lock:
            if job.state == "ended":
                return job.result()
            if job.state == "running":
                self._lost += 1
                if self._lost >= self._number:
                    self._refuse_waiting(self._refusal_of_lost)
            job.state = "abandoned" if not job.state else "lost"
        raise TokenTimeoutError(f"the module did not answer within {patience:g} s")

    def close(self) -> None:
        """Refuse the jobs that wait, and let the threads end. Those that hang end with the process."""
        with self._lock:
            self._closed = True
            self._refuse_waiting(_refusal_of_closed)
            for _ in range(self._started):
                self._jobs.put(None)

    def _refusal_of_lost(self) -> TokenTimeoutError:
        return TokenTimeoutError(f"all {self._number} threads are in calls of the module that do not return")

    def _refuse_waiting(self, why: Callable[[], TokenTimeoutError | TokenUnavailableError]) -> None:
        """Refuse the jobs that wait for a thread, each with an error of its own. The caller has the lock."""
        with suppress(Empty):
            while (job := self._jobs.get_nowait()) is not None:
                self._idle += 1
                job.state = "ended"
                job.refuse(why())

    def _serve(self) -> None:
        while self._serve_one():
            pass

    def _serve_one(self) -> bool:
        # In a function of its own: while a thread waits, it keeps nothing of its last job, neither key nor plaintext.
        job = self._jobs.get()
        if job is None:
            return False
        if self._begins(job):
            job.perform()
        self._end(job)
        return True

    def _begins(self, job: _Job[object]) -> bool:
        with self._lock:
            if job.state == "abandoned":
                return False
            job.state = "running"
            return True

    def _end(self, job: _Job[object]) -> None:
        with self._lock:
            self._idle += 1
            if job.state == "lost":
                self._lost -= 1
            job.state = "ended"
