"""The threads behind the event loop: a bounded number for each lane, and one queue of results for all of them.

Jobs go out through a ``SimpleQueue`` and results come back through a ``deque``, both of which are C and need no lock of
ours. The loop is woken once for all results that are there when it comes to them, not once for each.
"""

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from strongroom.operations.lanes import Lane

logger = logging.getLogger(__name__)

_NICENESS = {Lane.SIGNING: 10}
"""How much lower than the event loop's the priority of threads is (nice(1)). Without that, fast calls wait almost three
times as long while others sign, with it less than twice. It suits only threads that hold the interpreter briefly."""

Job = TypeVar("Job")
Result = TypeVar("Result")


class Lanes(Generic[Job, Result]):
    """Threads that call ``work`` on jobs; then ``done`` is called on the loop, in no order.

    Should ``work`` raise, which is a defect, ``failed`` is called on the loop instead.
    ``threads`` says how many each lane has. Nothing here bounds how many jobs wait for them.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        threads: Mapping[Lane, int],
        work: Callable[[Job], Result],
        done: Callable[[Job, Result], None],
        failed: Callable[[Job], None],
    ) -> None:
        self._wake: Callable[[Callable[[], None]], object] = loop.call_soon_threadsafe
        self._work = work
        self._done = done
        self._failed = failed
        self._jobs: dict[Lane, SimpleQueue[Job | None]] = {lane: SimpleQueue() for lane in threads}
        self._results: deque[tuple[Job, Result]] = deque()
        self._failures: deque[Job] = deque()
        self._waking = False
        self._threads = [
            threading.Thread(target=self._run, args=(lane,), name=f"{lane.name}_{number}")
            for lane, count in threads.items()
            for number in range(count)
        ]
        try:
            for thread in self._threads:
                thread.start()
        except RuntimeError:
            # The system allows no more threads. Those that have been started must not keep the process from ending.
            self._threads = [thread for thread in self._threads if thread.ident is not None]
            self.close()
            raise

    def submit(self, lane: Lane, job: Job) -> None:
        """Have a job done by a thread of a lane."""
        self._jobs[lane].put(job)

    def close(self) -> None:
        """Forget the jobs that have not begun, and wait for the others.

        Their results are called back if the loop still runs once after that.
        """
        for jobs in self._jobs.values():
            with suppress(Empty):
                while True:
                    jobs.get_nowait()
            for _ in self._threads:
                jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self, lane: Lane) -> None:
        # To Linux a thread is a process of its own here (setpriority(2)).
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.nice(0) + _NICENESS.get(lane, 0))
        jobs = self._jobs[lane]
        while (job := jobs.get()) is not None:
            # Whatever fails, the thread goes on: otherwise the lane would lose it.
            try:
                self._results.append((job, self._work(job)))
            except Exception:
                logger.exception("a job failed on a thread")
                self._failures.append(job)
            if not self._waking:
                self._waking = True
                self._wake(self._collect)

    def _collect(self) -> None:
        # First: a thread that adds a result from here on wakes the loop again, perhaps needlessly but never too late.
        self._waking = False
        results, failures = self._results, self._failures
        while results:
            self._done(*results.popleft())
        while failures:
            self._failed(failures.popleft())
