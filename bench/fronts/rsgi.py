"""Hello-world as an RSGI application, granian's own interface."""

from typing import Any

from hello import BODY, CONTENT_TYPE, REQUEST_ID

HEADERS = [("x-amzn-requestid", REQUEST_ID), ("content-type", CONTENT_TYPE)]


async def app(_scope: object, protocol: Any) -> None:  # noqa: ANN401 - granian's, untyped
    await protocol()
    protocol.response_bytes(status=200, headers=HEADERS, body=BODY)
