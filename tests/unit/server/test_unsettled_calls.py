"""Calls whose changes other nodes may not know yet: their records are written, and what is lost is not answered."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from direct_client import DirectClient
from loopback_server import LoopbackServer, run, until
from strongroom.store.unsettled import Unsettled


class ManualSettling:
    """Has every call wait for a commit, with which ``then`` does something before the call's thread returns."""

    def __init__(self, then: Callable[[Unsettled], None]) -> None:
        self._then = then
        self.unsettled: list[Unsettled] = []

    @contextmanager
    def deferred(self) -> Iterator[Unsettled]:
        unsettled = Unsettled()
        unsettled.add()
        self.unsettled.append(unsettled)
        yield unsettled
        self._then(unsettled)


async def settle_by(
    loopback: LoopbackServer, direct: DirectClient, then: Callable[[Unsettled], None]
) -> ManualSettling:
    # What is cached after this needs no thread, so that only the calls of the test wait.
    assert await loopback.call("ListKeys") == 200
    direct.local.deployment.service.pipeline.settling = made = ManualSettling(then)
    return made


def records_of(direct: DirectClient, name: str) -> list[str | None]:
    return [each.get("errorCode") for each in direct.local.records() if each["eventName"] == name]


def test_the_record_of_a_change_is_written_while_its_answer_waits(direct: DirectClient) -> None:
    key_id = direct.local.call("CreateKey")["KeyMetadata"]["KeyId"]

    async def scenario(loopback: LoopbackServer) -> None:
        settling = await settle_by(loopback, direct, lambda _unsettled: None)
        answer = asyncio.create_task(loopback.call("DisableKey", KeyId=key_id))
        # Nothing else is answered meanwhile, and no keeper signs a checkpoint.
        await until(lambda: records_of(direct, "DisableKey") == [None])
        assert not answer.done()
        for each in settling.unsettled:
            each.settled()
        assert await answer == 200

    run(direct, scenario)
    assert records_of(direct, "DisableKey") == [None]


def test_a_change_that_is_lost_before_its_thread_returns_is_not_answered_as_done(direct: DirectClient) -> None:
    key_id = direct.local.call("CreateKey")["KeyMetadata"]["KeyId"]

    async def scenario(loopback: LoopbackServer) -> None:
        await settle_by(loopback, direct, Unsettled.lost)
        assert await loopback.call("DisableKey", KeyId=key_id) == 500

    run(direct, scenario)
    assert records_of(direct, "DisableKey") == [None, "DependencyTimeoutException"]
