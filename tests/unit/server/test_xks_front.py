"""The XKS proxy when something it needs is slow, hangs or fails: every call is answered, in time and once."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import Credentials
from msgspec.structs import replace

from local_deployment import LocalDeployment
from loopback_server import until
from slow_key import SlowKey
from strongroom.clock import ManualClock
from strongroom.errors import KMSInternalException
from strongroom.http.connection import Limits
from strongroom.http.fast_parser import FastParser
from strongroom.keys.arns import KeyLocator
from strongroom.server import xks_front
from strongroom.server.reply_queue import ReplyQueue
from strongroom.server.xks_front import XksFront
from strongroom.server.xks_server import XksServer, _Named
from strongroom.server.xks_work import XksWork
from strongroom.xks_proxy.registry import Usage
from xks_calls import PREFIX, encrypt_body, metadata, signed_request
from xks_local import ACCOUNT, LocalXksProxy

DEADLINE = 0.2
"""Seconds for a call that is to take too long."""
LONG = 120.0
"""Seconds for all others, however slow the machine is."""
ATTEMPTS = 100
OK = (200, "")
TIMEOUT = (503, "DependencyTimeoutException")
BUSY = (429, "ThrottlingException")
BROKEN = (500, "InternalException")


class Loopback:
    """The proxy on a free port of this process, and calls to it."""

    def __init__(self, proxy: LocalXksProxy, front: XksFront, credentials: Credentials, port: int) -> None:
        self.proxy = proxy
        self.front = front
        self.credentials = credentials
        self.port = port

    async def call(self, path: str, body: dict[str, Any]) -> tuple[int, str]:
        """Send a call on a connection of its own; return the status and the name of the error."""
        raw = json.dumps(body).encode()
        target = f"/{PREFIX}/kms/xks/v1/{path}"
        at = datetime.fromtimestamp(self.proxy.local.clock.now(), UTC)
        signed = signed_request(f"http://127.0.0.1:{self.port}{target}", raw, self.credentials, at)
        headers = "".join(f"{name}: {value}\r\n" for name, value in signed.headers.items())
        head = f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Length: {len(raw)}\r\n{headers}\r\n"
        status, text = await self.send(head.encode() + raw)
        return status, str(json.loads(text).get("errorName", ""))

    async def hang(self, slow: SlowKey, count: int = 1) -> list[asyncio.Task[tuple[int, str]]]:
        """Have some calls of the slow key begin that are to be answered after ``DEADLINE``; return them."""
        self.front._deadline = DEADLINE
        calls = [asyncio.create_task(self._begun()) for _ in range(count)]
        await until(lambda: len(slow.threads) >= count)
        self.front._deadline = LONG
        return calls

    async def _begun(self) -> tuple[int, str]:
        """Call until the call gets its thread in time, which it may not on a busy machine; return its outcome."""
        for _ in range(ATTEMPTS):
            outcome = await self.call("keys/slow/encrypt", encrypt_body())
            if outcome != BUSY:
                return outcome
        raise TimeoutError

    async def send(self, raw: bytes) -> tuple[int, bytes]:
        """Send bytes on a connection of their own; return the status and the body of the reply."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        with closing(writer):
            writer.write(raw)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
        return int(head.split()[1]), body


Scenario = Callable[[Loopback], Awaitable[None]]


@pytest.fixture
def proxy(tmp_path: Path, clock: ManualClock) -> Iterator[LocalXksProxy]:
    local = LocalDeployment(tmp_path / "data", clock, xks_serve_threads=2, xks_deadline=LONG)
    with closing(local.deployment), closing(LocalXksProxy(local)) as proxy:
        yield proxy


@pytest.fixture
def run(proxy: LocalXksProxy) -> Callable[[Scenario], None]:
    credentials = proxy.make()
    for name in ("fast", "slow"):
        proxy.admin.add_key(PREFIX, name, proxy.new_key(), tuple(Usage))

    async def serve(scenario: Scenario) -> None:
        loop = asyncio.get_running_loop()
        front = proxy.serving._server._front(loop)
        limits = Limits(body=65_536)
        parser = FastParser(limits.head, limits.body)
        server = await loop.create_server(
            lambda: _Named(front.connections, limits, parser, secure=False), "127.0.0.1", 0
        )
        try:
            await scenario(Loopback(proxy, front, credentials, server.sockets[0].getsockname()[1]))
        finally:
            server.close()
            await front.drain(0)
            front.close()

    return lambda scenario: asyncio.run(serve(scenario))


def make_slow(proxy: LocalXksProxy) -> SlowKey:
    """Have the key ``slow`` wait in every use, as if it were in a token that does not answer."""
    snapshot = proxy.backends.snapshot
    snapshot.refresh()
    given = snapshot.xks_proxies.key(PREFIX, "slow", may_wait=True)
    assert given is not None
    active = snapshot.key(KeyLocator(ACCOUNT, "us-east-1", given.key_id), may_wait=True)
    assert active is not None
    loaded = active.current()
    slow = SlowKey(loaded)
    active._loaded_current = replace(loaded, backing_key=slow)
    return slow


def errors_in(proxy: LocalXksProxy) -> list[str | None]:
    return [record.get("errorCode") for record in proxy.records()]


def test_a_call_that_takes_too_long_is_answered_in_time_and_recorded_once(
    proxy: LocalXksProxy, run: Callable[[Scenario], None]
) -> None:
    slow = make_slow(proxy)

    async def scenario(loopback: Loopback) -> None:
        (slow_call,) = await loopback.hang(slow)
        assert await loopback.call("keys/fast/encrypt", encrypt_body()) == OK
        assert await asyncio.wait_for(slow_call, LONG / 2) == TIMEOUT
        slow.released.set()
        assert await loopback.call("keys/slow/encrypt", encrypt_body()) == OK

    run(scenario)
    # On a busy machine the first two are recorded in either order.
    assert Counter(errors_in(proxy)) == {None: 2, "DependencyTimeoutException": 1}


def test_calls_that_wait_too_long_for_a_thread_are_refused_without_a_record(
    proxy: LocalXksProxy, run: Callable[[Scenario], None]
) -> None:
    slow = make_slow(proxy)

    async def scenario(loopback: Loopback) -> None:
        calls = await loopback.hang(slow, 2)
        loopback.front._deadline = DEADLINE
        assert await asyncio.wait_for(loopback.call("keys/fast/encrypt", encrypt_body()), LONG / 2) == BUSY
        assert await asyncio.gather(*calls) == [TIMEOUT, TIMEOUT]
        loopback.front._deadline = LONG
        slow.released.set()
        assert await loopback.call("keys/fast/encrypt", encrypt_body()) == OK

    run(scenario)
    assert errors_in(proxy) == ["DependencyTimeoutException", "DependencyTimeoutException", None]


def test_the_queue_is_bounded(
    proxy: LocalXksProxy, run: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xks_front, "_MOST_IN_WORK", 4)
    slow = make_slow(proxy)

    async def scenario(loopback: Loopback) -> None:
        assert await asyncio.gather(*await loopback.hang(slow, 2)) == [TIMEOUT, TIMEOUT]
        # Threads that hang stay lost. Two calls have room to wait for one, and the others are refused at once.
        calls = [asyncio.create_task(loopback.call("keys/fast/encrypt", encrypt_body())) for _ in range(10)]
        await until(lambda: sum(call.done() for call in calls) == 8)
        assert [call.result() for call in calls if call.done()] == [BUSY] * 8
        assert await loopback.call("keys/fast/encrypt", encrypt_body()) == BUSY
        slow.released.set()
        assert sorted(await asyncio.gather(*calls)) == [OK] * 2 + [BUSY] * 8
        assert await loopback.call("keys/fast/encrypt", encrypt_body()) == OK

    run(scenario)


def test_nothing_is_answered_that_is_not_recorded(
    proxy: LocalXksProxy, run: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = proxy.serving._server._log

    def fail() -> None:
        raise KMSInternalException from OSError(28, "No space left on device")

    async def scenario(loopback: Loopback) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(log, "flush", fail)
            assert await loopback.call("keys/fast/encrypt", encrypt_body()) == BROKEN
            assert await loopback.call("health", metadata("x")) == BROKEN
            assert (await loopback.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 200
        assert await loopback.call("keys/fast/encrypt", encrypt_body()) == OK

    run(scenario)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (lambda front: front._replies._log, "flush"),
        (lambda front: front._trail, "record"),
        (lambda front: front, "_note_use"),
        (lambda front: front, "_record"),
    ],
    ids=["flush", "record", "note_use", "_record"],
)
def test_whatever_fails_while_a_call_is_recorded_its_client_is_answered(
    run: Callable[[Scenario], None],
    monkeypatch: pytest.MonkeyPatch,
    owner: Callable[[XksFront], object],
    name: str,
) -> None:
    fronts: list[XksFront] = []
    make = XksServer._front

    def note(server: XksServer, loop: asyncio.AbstractEventLoop) -> XksFront:
        fronts.append(make(server, loop))
        return fronts[0]

    def fail(*_: object) -> None:
        raise ZeroDivisionError("injected")

    monkeypatch.setattr(XksServer, "_front", note)

    async def scenario(loopback: Loopback) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(owner(fronts[0]), name, fail)
            calls = [loopback.call("keys/fast/encrypt", encrypt_body()) for _ in range(3)]
            assert await asyncio.wait_for(asyncio.gather(*calls), 30) == [BROKEN] * 3
        assert await loopback.call("keys/fast/encrypt", encrypt_body()) == OK

    run(scenario)


def test_a_request_that_cannot_be_worked_on_ends_its_connection(
    proxy: LocalXksProxy, run: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> str:
        raise ZeroDivisionError("injected")

    async def scenario(loopback: Loopback) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(proxy.serving._server._trail, "event_id", fail)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await asyncio.wait_for(loopback.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"), 30)
        assert await loopback.call("keys/fast/encrypt", encrypt_body()) == OK

    run(scenario)


def test_a_defect_is_answered_and_the_thread_goes_on(
    proxy: LocalXksProxy, run: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> bytes:
        raise ZeroDivisionError("injected")

    async def scenario(loopback: Loopback) -> None:
        work: XksWork = proxy.serving._server._work
        for _ in range(4):
            with monkeypatch.context() as context:
                context.setattr(work._calls, "perform", broken)
                assert await loopback.call("keys/fast/encrypt", encrypt_body()) == BROKEN
        assert await loopback.call("keys/fast/encrypt", encrypt_body()) == OK

    run(scenario)
    assert errors_in(proxy) == [*["InternalException"] * 4, None]


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"\x00\x01\x02\r\n\r\n", 400),
        (b"GET / HTTP/3.0\r\n\r\n", 505),
        (b"POST /kms/xks/v1/health HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n", 501),
        (b"POST /kms/xks/v1/health HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 404),
        (b"POST /x HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 20_000 + b"\r\n", 431),
        (b"GET /kms/xks/v1/health HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    ],
)
def test_what_is_no_call(run: Callable[[Scenario], None], raw: bytes, status: int) -> None:
    async def scenario(loopback: Loopback) -> None:
        assert (await loopback.send(raw))[0] == status

    run(scenario)


def test_what_has_no_record_is_answered_without_an_audit_log(
    run: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReplyQueue, "_fault_of_flush", lambda *_: KMSInternalException())
    monkeypatch.setattr(xks_front, "_MOST_IN_WORK", 0)

    async def scenario(loopback: Loopback) -> None:
        assert (await loopback.send(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"))[0] == 404
        assert (await loopback.send(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n"))[0] == 501
        assert await loopback.call("keys/fast/encrypt", encrypt_body()) == BUSY

    run(scenario)


def test_a_request_without_a_signature_leaves_a_small_record_however_large_it_is(
    proxy: LocalXksProxy, run: Callable[[Scenario], None]
) -> None:
    long = "x" * 30_000

    async def scenario(loopback: Loopback) -> None:
        for line in (f"User-Agent: {long}", f"Authorization: {long}", f"X-Forwarded-For: {long}", f"{long}: x"):
            head = f"POST /{PREFIX}/kms/xks/v1/keys/fast/encrypt HTTP/1.1\r\nHost: x\r\nContent-Length: 30000\r\n{line}"
            assert (await loopback.send(f"{head}\r\n\r\n{long}".encode()))[0] == 401

    run(scenario)
    sizes = [len(json.dumps(record)) for record in proxy.records()]
    assert len(sizes) == 4
    assert max(sizes) < 3_000


def test_a_request_without_a_signature(proxy: LocalXksProxy, run: Callable[[Scenario], None]) -> None:
    async def scenario(loopback: Loopback) -> None:
        head = f"POST /{PREFIX}/kms/xks/v1/health HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
        for more in ("", "Authorization: x\r\n", f"Authorization: {'AWS4-HMAC-SHA256 ' * 900}\r\n"):
            status, body = await loopback.send(f"{head}{more}\r\n{{}}".encode())
            assert status == 401
            assert json.loads(body)["errorName"] == "AuthenticationFailedException"
            assert len(json.loads(body)["errorMessage"]) < 512

    run(scenario)
    assert {record["userIdentity"]["type"] for record in proxy.records()} == {"Unknown"}
