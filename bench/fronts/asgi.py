"""Hello-world as an ASGI application, for uvicorn and granian."""

from collections.abc import Awaitable, Callable
from typing import Any

from hello import BODY, CONTENT_TYPE, REQUEST_ID

HEADERS = [
    (b"x-amzn-requestid", REQUEST_ID.encode()),
    (b"content-type", CONTENT_TYPE.encode()),
    (b"content-length", str(len(BODY)).encode()),
]


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] != "http":
        raise RuntimeError(scope["type"])
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})
