"""Requests that are refused because of load."""

import asyncio

import pytest

from direct_client import DirectClient
from loopback_server import PATIENCE, LoopbackServer, run
from strongroom.server import turn_queue


def test_a_head_request_that_is_refused_gets_no_body(direct: DirectClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body would be taken for the beginning of the next answer (RFC 9110, 9.3.2)."""
    monkeypatch.setattr(turn_queue, "_MAX_QUEUED", 0)

    async def scenario(loopback: LoopbackServer) -> None:
        reader, writer = await loopback.connected()
        heads = b"".join(b"HEAD %b HTTP/1.1\r\nHost: x\r\n\r\n" % path for path in (b"/healthz", b"/readyz"))
        writer.write(heads + b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        *answers, last = (await asyncio.wait_for(reader.read(), PATIENCE)).split(b"\r\n\r\n")
        writer.close()
        assert last == b"ok\n"
        assert [int(answer.split()[1]) for answer in answers] == [200, 400, 200]

    run(direct, scenario)
