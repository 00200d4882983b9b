"""Readiness checks wait for the store, so they do not run on the event loop, and a hung store does not hang them."""

import asyncio
import logging
import threading

import pytest

from direct_client import DirectClient
from loopback_server import LoopbackServer, run, until
from strongroom.server.readiness_probe import ReadinessProbe
from strongroom.service.readiness import Condition, Readiness

REQUEST = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"


class SlowCheck:
    """A check that takes until ``released`` is set."""

    def __init__(self, obstacles: list[str] | None = None) -> None:
        self.obstacles = obstacles or []
        self.released = threading.Event()
        self.threads: list[threading.Thread] = []

    def __call__(self) -> Condition:
        self.threads.append(threading.current_thread())
        assert self.released.wait(60)
        return Condition(self.obstacles)


def answers_of(check: SlowCheck, *, timeout: float, asked: int = 3) -> list[Condition]:
    """Ask so many times while the check runs, release it after the first answer or 50 ms, and return the answers."""

    async def main() -> list[Condition]:
        loop = asyncio.get_running_loop()
        probe = ReadinessProbe(loop, check, timeout)
        waiting: list[asyncio.Future[Condition]] = [loop.create_future() for _ in range(asked)]
        for future in waiting:
            probe.ask(future.set_result)
        await asyncio.wait(waiting, timeout=0.05)
        if timeout < 1:
            await asyncio.wait(waiting)
        check.released.set()
        return await asyncio.gather(*waiting)

    return asyncio.run(main())


def test_requests_that_come_together_share_one_check_on_a_thread() -> None:
    check = SlowCheck(["the audit log cannot be written"])
    assert answers_of(check, timeout=10) == [Condition(["the audit log cannot be written"])] * 3
    (thread,) = check.threads
    assert thread is not threading.main_thread()
    thread.join(10)


def test_a_check_that_hangs_is_answered_after_a_while() -> None:
    check = SlowCheck()
    assert answers_of(check, timeout=0.2) == [Condition(["the key store does not answer"])] * 3
    (thread,) = check.threads
    thread.join(10)


def test_each_check_that_is_over_is_followed_by_a_new_one() -> None:
    check = SlowCheck()
    check.released.set()
    asked = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        probe = ReadinessProbe(loop, check)
        for _ in range(2):
            future: asyncio.Future[Condition] = loop.create_future()
            probe.ask(future.set_result)
            asked.append(await future)
            check.obstacles = ["the key store does not answer"]

    asyncio.run(main())
    assert asked == [Condition([]), Condition(["the key store does not answer"])]


def test_a_check_that_fails_is_logged_and_no_success(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Condition:
        raise ZeroDivisionError("planted")

    async def main() -> Condition:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Condition] = loop.create_future()
        ReadinessProbe(loop, broken).ask(future.set_result)
        return await future

    with caplog.at_level(logging.ERROR):
        assert asyncio.run(main()) == Condition(["the readiness check failed"])
    assert caplog.messages == ["a readiness check failed"]


def test_a_check_whose_thread_cannot_be_started_fails_and_the_next_one_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> list[Condition]:
        loop = asyncio.get_running_loop()
        probe = ReadinessProbe(loop, Condition)
        answers = []
        for start in (no_thread, threading.Thread.start):
            monkeypatch.setattr(threading.Thread, "start", start)
            future: asyncio.Future[Condition] = loop.create_future()
            probe.ask(future.set_result)
            answers.append(await asyncio.wait_for(future, 60))
        return answers

    assert asyncio.run(main()) == [Condition(["no thread can be started"]), Condition()]


def no_thread(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_server_that_stops_is_not_ready(direct: DirectClient, monkeypatch: pytest.MonkeyPatch) -> None:
    check = SlowCheck()
    monkeypatch.setattr(Readiness, "check", lambda _: check())

    async def scenario(loopback: LoopbackServer) -> None:
        loopback.front._replies.draining = True
        assert await loopback.send(REQUEST) == 503

    run(direct, scenario)
    assert not check.threads


def test_calls_are_answered_while_a_readiness_check_waits_for_the_store(
    direct: DirectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = SlowCheck()
    monkeypatch.setattr(Readiness, "check", lambda _: check())

    async def scenario(loopback: LoopbackServer) -> None:
        ready = asyncio.create_task(loopback.send(REQUEST))
        await until(lambda: bool(check.threads))
        assert await loopback.call("GenerateRandom", NumberOfBytes=8) == 200
        assert await loopback.call("ListKeys") == 200
        assert not ready.done()
        check.released.set()
        assert await ready == 200
        check.obstacles = ["the key store does not answer"]
        assert await loopback.send(REQUEST) == 503

    run(direct, scenario)
