"""Replies that wait for the audit log: they are sent when the records of their calls are written, or not at all."""

import asyncio
import logging
from collections.abc import Sequence
from email.utils import formatdate
from functools import partial

from strongroom.api.cross_origin import CrossOrigin
from strongroom.api.reply import Reply
from strongroom.audit.sink import AuditSink
from strongroom.clock import Clock
from strongroom.errors import KmsError, KMSInternalException
from strongroom.http.connection import Connection
from strongroom.http.message import HttpRequest
from strongroom.server.required_shipping import RequiredShipping
from strongroom.service.counters import CallCounters
from strongroom.telemetry.answered_call import AnsweredCall, CallObserver

logger = logging.getLogger(__name__)

_LOGGED_EVERY = 60.0
"""How often, in seconds, it is said that the audit log still cannot be written."""

Queued = tuple[Connection, HttpRequest | None, Reply]


class ReplyQueue:
    """Collects the replies of one turn of the event loop, flushes the audit log once for them all, and sends them.

    ``draining`` is set when the server stops: from then on every reply is the last one of its connection. Every reply
    has the Server header ``name``, if there is one.
    """

    def __init__(  # noqa: PLR0913 - what replies wait for, and who is told of them
        self,
        loop: asyncio.AbstractEventLoop,
        log: AuditSink,
        clock: Clock,
        counters: CallCounters,
        observers: Sequence[CallObserver] = (),
        cross_origin: CrossOrigin | None = None,
        *,
        required: RequiredShipping | None = None,
        name: str = "",
    ) -> None:
        self._loop = loop
        self._name = f"Server: {name}\r\n" if name else ""
        self._required = required
        if required is not None:
            required.attach(loop)
        self._log = log
        self._clock = clock
        self._timer = clock.timer
        self._counters = counters
        self._observers = tuple(observers)
        self._cross_origin = cross_origin
        self._queued: list[Queued] = []
        self._records_wait = False
        """Whether there are records to write although no reply is queued."""
        self._failing: str | None = None
        """Why the audit log cannot be written; None while it can."""
        self._failure_logged_at = 0.0
        self._refused = 0
        """Calls that were refused since that was logged."""
        self._date = (0, "")
        self.draining = False

    def write_records(self) -> None:
        """Write the records of calls whose replies come later, in the next turn of the loop at the latest."""
        if not self._queued and not self._records_wait:
            self._loop.call_soon(self.flush)
        self._records_wait = True

    def put(self, connection: Connection, request: HttpRequest | None, reply: Reply) -> None:
        """Queue a reply; it is sent in the next turn of the loop, if ``flush`` is not called before."""
        if not self._queued and not self._records_wait:
            self._loop.call_soon(self.flush)
        self._queued.append((connection, request, reply))

    def flush(self) -> None:
        """Write the records of this turn, then its replies; without the records, the replies become errors."""
        if not self._queued and not self._records_wait:
            return
        replies, self._queued = self._queued, []
        self._records_wait = False
        flush_started_at = self._timer()
        fault = self._fault_of_flush(len(replies))
        if fault is None:
            self._counters.note((None, "", self._timer() - flush_started_at))
            if self._required is not None:
                waiting = [each for each in replies if each[2].is_recorded]
                # What is no call has no record.
                replies = [each for each in replies if not each[2].is_recorded]
                if waiting:
                    self._required.hold(partial(self._finish, waiting, flush_started_at))
        self._finish(replies, flush_started_at, fault)

    def _finish(self, replies: Sequence[Queued], flush_started_at: float, fault: KmsError | None) -> None:
        """Send replies whose records are written or, if they are not, errors in their place."""
        flushed_at = self._timer()
        try:
            if fault is not None:
                replies = [
                    (connection, request, reply.refused(fault) if reply.is_recorded else reply)
                    for connection, request, reply in replies
                ]
            # Before anything is sent: behind that, connections go on with their next requests.
            self._note(replies, flush_started_at, flushed_at)
            self._send(replies)
        except Exception:
            logger.exception("replies could not be sent; dropping their connections: %d", len(replies))
            for connection, _, _ in replies:
                connection.drop()

    def _fault_of_flush(self, waiting: int) -> KmsError | None:
        """Flush the audit log; return the error that the calls of this turn end in, if it cannot be written."""
        try:
            self._log.flush()
        except Exception as error:  # noqa: BLE001 - logged below
            self._note_failure(error, waiting)
            return error if isinstance(error, KmsError) else KMSInternalException()
        if self._failing is not None:
            logger.info("the audit log can be written again; calls refused since the last line: %d", self._refused)
            self._failing, self._refused = None, 0
        return None

    def _note_failure(self, error: Exception, waiting: int) -> None:
        """Log that the audit log cannot be written: at once, when the reason changes, and then once a minute.

        Clients retry, so there may be hundreds of such turns in a second.
        """
        expected = isinstance(error, KmsError) and isinstance(error.__cause__, OSError)
        reason = str(error.__cause__ if expected else error)
        self._refused += waiting
        now = self._timer()
        if reason == self._failing and now - self._failure_logged_at < _LOGGED_EVERY:
            return
        logger.error(
            "the audit log cannot be written, so calls are refused: %s; calls refused since the last line: %d",
            reason,
            self._refused,
            exc_info=None if expected else error,
        )
        self._failing, self._failure_logged_at, self._refused = reason, now, 0

    def _send(self, replies: Sequence[Queued]) -> None:
        date, draining = self._http_date(), self.draining
        if self._cross_origin is not None:
            replies = [(connection, request, self._marked(request, reply)) for connection, request, reply in replies]
        encoded = [
            (
                connection,
                reply.encode(
                    date,
                    keep_alive=not (last := connection.last or draining),
                    more_headers=reply.more_headers + self._name,
                ),
                last,
            )
            for connection, _, reply in replies
        ]
        for connection, response, last in encoded:
            try:
                connection.send(response, close=last)
            except Exception:
                logger.exception("a reply could not be written; dropping its connection")
                connection.drop()

    def _marked(self, request: HttpRequest | None, reply: Reply) -> Reply:
        """Let the browser's page read the reply, if it may. Without a request, the refusal was marked before."""
        if request is None or self._cross_origin is None:
            return reply
        return self._cross_origin.marked(reply, request.headers)

    def _note(self, replies: Sequence[Queued], flush_started_at: float, flushed_at: float) -> None:
        """Count what was answered, and tell the observers."""
        note = self._counters.note
        for _, request, reply in replies:
            if request is None or reply.operation is None:
                self._counters.answered_no_call(reply.status)
                continue
            note((reply.operation, reply.outcome, flushed_at - request.received_at))
            if self._observers:
                self._tell(
                    AnsweredCall(
                        request=request,
                        operation=reply.operation,
                        request_id=reply.request_id,
                        status=reply.status,
                        outcome=reply.outcome,
                        flush_started_at=flush_started_at,
                        flushed_at=flushed_at,
                    )
                )
        self._counters.turned()

    def _tell(self, call: AnsweredCall) -> None:
        """Tell the observers of a call. Its reply leaves even if they fail."""
        try:
            for observer in self._observers:
                observer.answered(call)
        except Exception:
            logger.exception("a call could not be observed", extra={"request_id": call.request_id})

    def _http_date(self) -> str:
        second = int(self._clock.now())
        if second != self._date[0]:
            self._date = (second, formatdate(second, usegmt=True))
        return self._date[1]
