"""Refuses requests without looking at who signed them; such refusals leave no audit record."""

from http import HTTPStatus

from strongroom.api.cross_origin import CrossOrigin
from strongroom.api.gateway import HEALTH, Gateway
from strongroom.api.reply import Reply, without_body
from strongroom.errors import RequestEntityTooLargeException, ThrottlingException
from strongroom.http.connection import Connection
from strongroom.server.reply_queue import ReplyQueue

BUSY = "The service is busy. Reduce the frequency of your calls."
"""The message of every ThrottlingException that load shedding is answered with."""


class Refusals:
    """Answers requests that are shed, and bytes that are no request."""

    def __init__(self, gateway: Gateway, replies: ReplyQueue, cross_origin: CrossOrigin | None = None) -> None:
        self._gateway = gateway
        self._replies = replies
        self._cross_origin = cross_origin

    def busy(self, connection: Connection, method: str, path: str, headers: dict[str, str], /) -> None:
        """Refuse a request because of load.

        A liveness check succeeds all the same: a server that is busy must not be restarted for it.
        """
        reply = self._gateway.refused(headers, ThrottlingException(BUSY))
        alive = Reply(200, b"ok\n", "text/plain", reply.request_id)
        answer = alive if path == HEALTH else reply
        self._put(connection, without_body(answer) if method == "HEAD" else answer, headers)

    def malformed(self, connection: Connection, status: int, headers: dict[str, str], /) -> None:
        """Answer bytes that are no request, or too large a one; ``headers`` as far as they were read."""
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            reply = self._gateway.refused(headers, RequestEntityTooLargeException(None))
        elif status == HTTPStatus.TOO_MANY_REQUESTS:
            reply = self._gateway.refused(headers, ThrottlingException(BUSY))
        else:
            reply = Reply(status, b"", "text/plain", self._gateway.request_id())
        self._put(connection, reply, headers)

    def _put(self, connection: Connection, reply: Reply, headers: dict[str, str]) -> None:
        marked = reply if self._cross_origin is None else self._cross_origin.marked(reply, headers)
        self._replies.put(connection, None, marked)
