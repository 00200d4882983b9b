"""A write is answered when no node serves what was before it, and no thread waits for that."""

import asyncio
import logging
from typing import Any

import pytest

from direct_client import DirectClient
from late_nodes import LateNodes
from loopback_server import LoopbackServer, run, status_of, until
from raw_connections import request_bytes
from strongroom.operations.lanes import Lane
from strongroom.server import unsettled_answers
from strongroom.server.unsettled_answers import UnsettledAnswers
from strongroom.store.unsettled import Unsettled

DATA = "ZGF0YQ=="
MANY = 40


@pytest.fixture
def nodes(direct: DirectClient, monkeypatch: pytest.MonkeyPatch) -> LateNodes:
    return LateNodes(direct.local.deployment, monkeypatch)


def held_by(loopback: LoopbackServer) -> int:
    return loopback.front._dispatcher._unsettled.held


def state_of(direct: DirectClient, key_id: str) -> str:
    state: str = direct.local.call("DescribeKey", KeyId=key_id)["KeyMetadata"]["KeyState"]
    return state


def test_many_writes_wait_for_other_nodes_and_one_thread_makes_them_all(direct: DirectClient, nodes: LateNodes) -> None:
    keys = [direct.local.call("CreateKey")["KeyMetadata"]["KeyId"] for _ in range(MANY)]
    before, written = len(direct.local.records()), nodes.written

    async def scenario(loopback: LoopbackServer) -> None:
        answers = [asyncio.create_task(loopback.call("DisableKey", KeyId=key_id)) for key_id in keys]
        # There is one thread in each lane (``loopback_server``).
        await until(lambda: nodes.written == written + MANY)
        await until(lambda: held_by(loopback) == MANY)
        assert set(loopback.front.limits.in_work.values()) == {0}
        # Calls that write nothing wait for nobody.
        assert await loopback.call("ListKeys") == 200
        assert not any(answer.done() for answer in answers)
        nodes.settle()
        assert await asyncio.gather(*answers) == [200] * MANY
        assert held_by(loopback) == 0

    run(direct, scenario)
    names = [each["eventName"] for each in direct.local.records()[before:]]
    assert names.count("DisableKey") == MANY


def test_a_write_is_seen_by_the_call_that_has_made_it(direct: DirectClient, nodes: LateNodes) -> None:
    """DescribeKey of an alias of a service makes its key, and then describes it."""
    direct.local.deployment.registrar.create_service("backup.amazonaws.com")

    async def scenario(loopback: LoopbackServer) -> None:
        answer = asyncio.create_task(loopback.call("DescribeKey", KeyId="alias/aws/backup"))
        await until(lambda: held_by(loopback) == 1)
        nodes.settle()
        assert await answer == 200

    run(direct, scenario)


def test_with_too_many_unsettled_writes_others_are_refused_before_they_begin(
    direct: DirectClient, nodes: LateNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (direct.local.call("CreateKey")["KeyMetadata"]["KeyId"] for _ in range(2))
    monkeypatch.setattr(unsettled_answers, "MOST_HELD", 1)

    async def scenario(loopback: LoopbackServer) -> None:
        answer = asyncio.create_task(loopback.call("DisableKey", KeyId=first))
        await until(lambda: held_by(loopback) == 1)
        written = nodes.written
        assert await loopback.call("DisableKey", KeyId=second) == 400
        assert nodes.written == written
        # What writes nothing goes on.
        assert await loopback.call("Encrypt", KeyId=second, Plaintext=DATA) == 200
        assert await loopback.call("ListKeys") == 200
        nodes.settle()
        assert await answer == 200
        retried = asyncio.create_task(loopback.call("DisableKey", KeyId=second))
        await until(lambda: held_by(loopback) == 1)
        nodes.settle()
        assert await retried == 200

    run(direct, scenario)
    refused = [each["eventName"] for each in direct.local.records() if each.get("errorCode") == "ThrottlingException"]
    assert refused == ["DisableKey"]
    assert state_of(direct, second) == "Disabled"


def test_a_client_that_goes_away_leaves_nothing_behind(
    direct: DirectClient, nodes: LateNodes, caplog: pytest.LogCaptureFixture
) -> None:
    key_id = direct.local.call("CreateKey")["KeyMetadata"]["KeyId"]
    request = request_bytes(direct.kms_request(direct.profile(), "DisableKey", {}, {"KeyId": key_id}))

    async def scenario(loopback: LoopbackServer) -> None:
        _, writer = await loopback.connected()
        writer.write(request)
        await until(lambda: held_by(loopback) == 1)
        writer.close()
        await until(lambda: not loopback.front.connections.open)
        nodes.settle()
        await until(lambda: held_by(loopback) == 0)

    with caplog.at_level(logging.WARNING):
        run(direct, scenario)
    assert caplog.messages == []
    assert state_of(direct, key_id) == "Disabled"


def test_a_server_that_stops_answers_what_is_settled_in_time_and_drops_the_rest(
    direct: DirectClient, nodes: LateNodes, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (direct.local.call("CreateKey")["KeyMetadata"]["KeyId"] for _ in range(2))
    held: list[Unsettled] = []

    async def scenario(loopback: LoopbackServer) -> None:
        in_time = asyncio.create_task(loopback.call("DisableKey", KeyId=first))
        await until(lambda: held_by(loopback) == 1)
        draining = asyncio.create_task(loopback.front.drain(5))
        await asyncio.sleep(0.05)
        assert not in_time.done()
        nodes.settle()
        assert await in_time == 200
        await draining

    run(direct, scenario)

    async def too_late(loopback: LoopbackServer) -> None:
        reader, writer = await loopback.connected()
        writer.write(loopback.request("DisableKey", KeyId=second))
        await until(lambda: held_by(loopback) == 1)
        held.extend(nodes.commits)
        await loopback.front.drain(0.05)
        assert await status_of(reader) == 0
        writer.close()

    with caplog.at_level(logging.WARNING):
        run(direct, too_late)
        # The loop has ended by now.
        nodes.settle()
    assert held
    assert caplog.messages == []
    assert [state_of(direct, key_id) for key_id in (first, second)] == ["Disabled"] * 2


def test_what_is_settled_by_several_threads_is_told_once() -> None:
    told: list[str] = []
    unsettled = Unsettled()
    for _ in range(2):
        unsettled.add()
    unsettled.settled()
    unsettled.when_settled(lambda: told.append("settled"))
    assert (told, unsettled.is_settled) == ([], False)
    unsettled.settled()
    assert (told, unsettled.is_settled) == (["settled"], True)
    # What is settled already is told at once.
    over = Unsettled()
    over.when_settled(lambda: told.append("at once"))
    assert told == ["settled", "at once"]


def test_answers_are_held_by_lane_whatever_follows() -> None:
    """What follows a write can also be a step on another thread."""
    going: list[Any] = []

    async def scenario() -> None:
        answers: UnsettledAnswers[Lane] = UnsettledAnswers(asyncio.get_running_loop(), going.append)
        unsettled = Unsettled()
        unsettled.add()
        answers.hold(unsettled, Lane.KEY_BACKEND)
        await asyncio.sleep(0)
        assert (going, answers.held) == ([], 1)
        unsettled.settled()
        await until(lambda: bool(going))
        assert answers.held == 0

    asyncio.run(scenario())
    assert going == [Lane.KEY_BACKEND]
