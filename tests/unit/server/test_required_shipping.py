"""Replies wait for required destinations only if this process has written a line that can be asked for."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path

from strongroom.errors import KmsError, KMSInternalException
from strongroom.server.required_shipping import RequiredShipping

Ended = asyncio.Queue[KmsError | None]
Scenario = Callable[[RequiredShipping, Ended], Coroutine[None, None, None]]


def run(folder: Path, last: tuple[str, int], scenario: Scenario) -> None:
    """Run a scenario on a loop of its own; nothing ships, so what waits is never taken."""

    async def act() -> None:
        with closing(RequiredShipping(folder, "w0", lambda: last, 0.1)) as required:
            required.attach(asyncio.get_running_loop())
            await scenario(required, asyncio.Queue())

    asyncio.run(act())


def test_lines_of_an_earlier_process_are_not_waited_for(tmp_path: Path) -> None:
    """After a start the numbers of lines go on, and there is no segment before the first line."""

    async def scenario(required: RequiredShipping, ended: Ended) -> None:
        required.hold(ended.put_nowait)
        assert ended.get_nowait() is None
        await asyncio.sleep(0.3)
        assert required.takes()

    run(tmp_path, ("", 7), scenario)


def test_a_line_that_is_not_taken_in_time_fails_its_reply_and_those_to_come(tmp_path: Path) -> None:
    async def scenario(required: RequiredShipping, ended: Ended) -> None:
        required.hold(ended.put_nowait)
        assert ended.empty()
        assert isinstance(await ended.get(), KMSInternalException)
        assert not required.takes()

    run(tmp_path, ("segment", 7), scenario)
