"""Replies of the XKS proxy: each leaves when the audit records of its turn of the event loop are written."""

import asyncio
import logging
from email.utils import formatdate

from strongroom.audit.sink import AuditSink
from strongroom.clock import Clock
from strongroom.errors import KmsError
from strongroom.http.connection import Connection
from strongroom.http.message import HttpResponse
from strongroom.xks_proxy import replies
from strongroom.xks_proxy.errors import ErrorName, XksError

logger = logging.getLogger(__name__)

_QUIET = 60.0
"""Seconds between two lines that say that the audit log cannot be written."""
_JSON = "application/json"


def reply_of(outcome: bytes | XksError, reply_id: str) -> HttpResponse:
    """Return the response that carries the outcome of a call."""
    if isinstance(outcome, XksError):
        return HttpResponse(outcome.status, replies.refused(outcome), _JSON, reply_id)
    return HttpResponse(200, outcome, _JSON, reply_id)


class XksReplies:
    """Collects the replies of one turn of the event loop, flushes the audit log once for them all, and sends them.

    ``draining`` is set when the proxy stops: from then on every reply is the last one of its connection.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, log: AuditSink, clock: Clock) -> None:
        self._loop = loop
        self._log = log
        self._clock = clock
        self._queued: list[tuple[Connection, HttpResponse, str]] = []
        self._said_at: float | None = None
        self.draining = False

    def put(self, connection: Connection, response: HttpResponse, more_headers: str = "") -> None:
        """Queue a reply; it is sent in the next turn of the loop."""
        if not self._queued:
            self._loop.call_soon(self._flush)
        self._queued.append((connection, response, more_headers))

    def _flush(self) -> None:
        queued, self._queued = self._queued, []
        recorded = self._recorded(len(queued))
        date = formatdate(self._clock.now(), usegmt=True)
        for connection, response, more_headers in queued:
            try:
                sent = response if recorded or response.content_type != _JSON else _not_recorded(response)
                last = connection.last or self.draining
                connection.send(sent.encode(date, keep_alive=not last, more_headers=more_headers), close=last)
            except Exception:
                logger.exception("a reply could not be written; dropping its connection")
                connection.drop()

    def _recorded(self, waiting: int) -> bool:
        """Flush the audit log; return whether that succeeded."""
        try:
            self._log.flush()
        except KmsError as error:
            now = self._clock.timer()
            if self._said_at is None or now - self._said_at >= _QUIET:
                self._said_at = now
                reason = error.__cause__ or error
                logger.error(  # noqa: TRY400 - one line is enough
                    "the audit log cannot be written, so %d calls are refused: %s", waiting, reason
                )
            return False
        self._said_at = None
        return True


def _not_recorded(response: HttpResponse) -> HttpResponse:
    error = XksError(ErrorName.INTERNAL, "The audit record of this call could not be written.")
    return reply_of(error, response.request_id)
