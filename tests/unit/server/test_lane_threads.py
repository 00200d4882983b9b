"""The threads behind the event loop: each job returns once, on the loop; jobs not yet begun can be dropped."""

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Callable

import pytest
import uvloop

from strongroom.operations.lanes import Lane
from strongroom.server.lane_threads import Lanes

THREADS = {Lane.WRITING: 4, Lane.COMPUTING: 2}
JOBS = 2000


def run(scenario: Callable[[], asyncio.Future[None] | object]) -> None:
    async def main() -> None:
        result = scenario()
        if isinstance(result, asyncio.Future):
            await asyncio.wait_for(result, 30)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def never(job: int) -> None:
    pytest.fail(f"job {job} was reported as failed")


def test_every_job_returns_once_and_on_the_event_loop() -> None:
    done: Counter[int] = Counter()
    workers: set[str] = set()
    lanes: list[Lanes[int, int]] = []

    def scenario() -> asyncio.Future[None]:
        loop, here = asyncio.get_running_loop(), threading.get_ident()
        all_done: asyncio.Future[None] = loop.create_future()

        def work(job: int) -> int:
            workers.add(threading.current_thread().name)
            return job * job

        def deliver(job: int, result: int) -> None:
            assert threading.get_ident() == here
            assert result == job * job
            done[job] += 1
            if len(done) == JOBS:
                all_done.set_result(None)

        lanes.append(Lanes(loop, THREADS, work, deliver, never))
        for job in range(JOBS):
            lanes[0].submit(Lane.WRITING if job % 2 else Lane.COMPUTING, job)
        return all_done

    run(scenario)
    lanes[0].close()
    assert done == Counter(range(JOBS))
    assert workers <= {f"WRITING_{each}" for each in range(4)} | {f"COMPUTING_{each}" for each in range(2)}


def test_one_wakeup_delivers_all_results_that_are_ready() -> None:
    """While the event loop is busy, all jobs finish; it is woken up once."""
    wakeups: list[object] = []
    done: list[int] = []

    def scenario() -> None:
        loop = asyncio.get_running_loop()
        finished = threading.Semaphore(0)

        def work(job: int) -> int:
            finished.release()
            return job

        def wake(callback: Callable[[], None]) -> None:
            wakeups.append(callback)

        lanes: Lanes[int, int] = Lanes(loop, {Lane.COMPUTING: 1}, work, lambda job, _: done.append(job), never)
        lanes._wake = wake
        for job in range(100):
            lanes.submit(Lane.COMPUTING, job)
        for _ in range(100):
            assert finished.acquire(timeout=60)
        lanes.close()
        lanes._collect()

    run(scenario)
    assert done == list(range(100))
    assert len(wakeups) == 1


@pytest.mark.parametrize("waiting", [0, 10])
def test_closing_waits_for_running_jobs_and_drops_waiting_ones(waiting: int) -> None:
    begun, release = threading.Event(), threading.Event()
    worked: list[int] = []

    def scenario() -> None:
        def work(job: int) -> None:
            begun.set()
            assert release.wait(60)
            worked.append(job)

        lanes: Lanes[int, None] = Lanes(asyncio.get_running_loop(), {Lane.GENERATING: 1}, work, lambda *_: None, never)
        for job in range(1 + waiting):
            lanes.submit(Lane.GENERATING, job)
        assert begun.wait(60)
        threading.Timer(0.1, release.set).start()
        lanes.close()

    run(scenario)
    assert worked == [0]
    assert not [each for each in threading.enumerate() if each.name.startswith("GENERATING")]


def test_signing_threads_have_a_lower_priority() -> None:
    def niceness(_job: int) -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    async def main() -> list[int]:
        found: list[int] = []
        lanes: Lanes[int, int] = Lanes(
            asyncio.get_running_loop(),
            {Lane.SIGNING: 1, Lane.WRITING: 1},
            niceness,
            lambda _, result: found.append(result),
            never,
        )
        for lane in (Lane.WRITING, Lane.SIGNING):
            lanes.submit(lane, 0)
        while len(found) < 2:  # noqa: ASYNC110 - a test
            await asyncio.sleep(0.01)
        lanes.close()
        return sorted(found)

    fast, signing = asyncio.run(main())
    assert (fast, signing) == (os.nice(0), min(os.nice(0) + 10, 19))


def test_a_failed_job_is_reported_and_the_thread_goes_on() -> None:
    done: list[int] = []
    failed: list[int] = []
    lanes: list[Lanes[int, int]] = []

    def scenario() -> asyncio.Future[None]:
        loop, here = asyncio.get_running_loop(), threading.get_ident()
        all_done: asyncio.Future[None] = loop.create_future()

        def fail(job: int) -> None:
            assert threading.get_ident() == here
            failed.append(job)

        def deliver(job: int, _: int) -> None:
            done.append(job)
            if len(done) == 5:
                loop.call_soon(all_done.set_result, None)

        lanes.append(Lanes(loop, {Lane.COMPUTING: 1}, lambda job: 1 // (job % 2), deliver, fail))
        for job in range(10):
            lanes[0].submit(Lane.COMPUTING, job)
        return all_done

    run(scenario)
    lanes[0].close()
    assert done == [1, 3, 5, 7, 9]
    assert failed == [0, 2, 4, 6, 8]
