"""The XKS proxy on one event loop: takes requests, has threads perform them, and answers each in time.

AWS KMS waits for 250 ms, its connection included. So a call that takes longer than ``deadline`` is answered with an
error, whatever becomes of it. Calls wait in a bounded queue; beyond it they are refused at once.
"""

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus

import msgspec

from strongroom.api.reply import Reply
from strongroom.audit.cloudtrail import MAX_USER_AGENT
from strongroom.audit.sink import AuditSink
from strongroom.clock import Clock
from strongroom.http.connection import Connection
from strongroom.http.message import HttpRequest
from strongroom.operations.lanes import Lane
from strongroom.server.lane_threads import Lanes
from strongroom.server.open_connections import OpenConnections
from strongroom.server.reply_queue import ReplyQueue
from strongroom.server.xks_replies import NOT_RECORDED, refusal_of, reply_of
from strongroom.server.xks_work import Job, Outcome, XksWork
from strongroom.service.counters import CallCounters
from strongroom.service.xks_facts import XksFacts
from strongroom.service.xks_trail import XksTrail
from strongroom.store.records import KeyUse
from strongroom.xks_proxy.errors import ErrorName, XksError
from strongroom.xks_proxy.paths import Call, parse_path

logger = logging.getLogger(__name__)

ALIVE = "/healthz"
"""The path of the check of a load balancer, which has no credential."""
_MOST_IN_WORK = 512
_USES = frozenset({Call.ENCRYPT, Call.DECRYPT})
_BUSY = "The proxy is busy."


class XksCapacity(msgspec.Struct, frozen=True):
    """What a proxy takes on: threads, connections, bytes held for them, and seconds for one call."""

    threads: int
    connections: int
    held: int
    deadline: float


class XksFront:
    """From connections to replies. ``connections`` is the handler to make connections with. Lives on one event loop."""

    def __init__(  # noqa: PLR0913 - the parts of a front
        self,
        loop: asyncio.AbstractEventLoop,
        work: XksWork,
        trail: XksTrail,
        log: AuditSink,
        *,
        note_use: Callable[[KeyUse], None],
        capacity: XksCapacity,
        clock: Clock,
        settle: Callable[[], None],
    ) -> None:
        """``note_use`` takes each use of a key; ``settle`` is called once a second."""
        self._loop = loop
        self._trail = trail
        counters = CallCounters()
        self._replies = ReplyQueue(loop, log, clock, counters)
        self._note_use = note_use
        self._deadline = capacity.deadline
        self._clock = clock
        self._in_work = 0
        self._lanes: Lanes[Job, Outcome] = Lanes(
            loop, {Lane.KEY_BACKEND: capacity.threads}, work.perform, self._done, self._failed
        )
        self.connections = OpenConnections(
            loop,
            clock.timer,
            counters,
            limit=capacity.connections,
            held=capacity.held,
            handle=self._handle,
            malformed=self._malformed,
            refuse=self._refuse,
            each_sweep=settle,
        )

    async def drain(self, grace: float) -> None:
        """Answer the calls in work and close every connection; after ``grace`` seconds, drop the rest."""
        self._replies.draining = True
        await self.connections.drain(grace)

    def close(self) -> None:
        """End the threads."""
        self._lanes.close()

    # --- requests

    def _handle(self, connection: Connection, request: HttpRequest) -> None:
        try:
            self._take(connection, request)
        except Exception:
            logger.exception("a request could not be worked on; dropping its connection")
            connection.drop()

    def _take(self, connection: Connection, request: HttpRequest) -> None:
        reply_id = self._trail.event_id()
        route = None if request.query else parse_path(request.path)
        if request.path == ALIVE and request.method in {"GET", "HEAD"}:
            body = b"ok\n" if request.method == "GET" else b""
            self._replies.put(connection, None, Reply(200, body, "text/plain", reply_id))
        elif route is None:
            error = XksError(ErrorName.INVALID_URI_PATH, "This is no path of an external key store proxy.")
            self._replies.put(connection, None, refusal_of(error, reply_id))
        elif request.method != "POST":
            refusal = Reply(HTTPStatus.METHOD_NOT_ALLOWED, b"", "text/plain", reply_id, more_headers="Allow: POST\r\n")
            self._replies.put(connection, None, refusal)
        elif self._in_work >= _MOST_IN_WORK:
            self._replies.put(connection, None, refusal_of(XksError(ErrorName.THROTTLING, _BUSY), reply_id))
        else:
            facts = XksFacts(
                route=route,
                now=self._clock.now(),
                request_id=reply_id,
                source_ip=request.peer,
                user_agent=request.headers.get("user-agent", "")[:MAX_USER_AGENT],
                secure=request.secure,
            )
            self._submit(Job(connection, request, reply_id, facts))

    def _submit(self, job: Job) -> None:
        self._in_work += 1
        left = self._deadline - (self._clock.timer() - job.request.received_at)
        job.timer = self._loop.call_later(max(left, 0.0), self._expire, job)
        self._lanes.submit(Lane.KEY_BACKEND, job)

    def _malformed(self, connection: Connection, status: int, _headers: dict[str, str]) -> None:
        reply_id = self._trail.event_id()
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            reply = refusal_of(XksError(ErrorName.UNSUPPORTED_OPERATION, "The request is too large."), reply_id)
        elif status == HTTPStatus.TOO_MANY_REQUESTS:
            reply = refusal_of(XksError(ErrorName.THROTTLING, _BUSY), reply_id)
        else:
            reply = Reply(status, b"", "text/plain", reply_id)
        self._replies.put(connection, None, reply)

    def _refuse(self, connection: Connection, _method: str, _path: str, _headers: dict[str, str]) -> None:
        """Refuse the one request of a connection beyond the limit."""
        error = XksError(ErrorName.THROTTLING, _BUSY)
        self._replies.put(connection, None, refusal_of(error, self._trail.event_id()))

    # --- outcomes

    def _done(self, job: Job, outcome: Outcome) -> None:
        self._in_work -= 1
        self._answer(job, outcome)

    def _failed(self, job: Job) -> None:
        """Answer a call that failed, which is a defect."""
        self._done(job, XksError(ErrorName.INTERNAL, "The call failed."))

    def _expire(self, job: Job) -> None:
        """Answer a call that took too long. Its thread goes on, and what it finds is dropped."""
        if job.begun:
            self._answer(job, XksError(ErrorName.DEPENDENCY_TIMEOUT, "The call took too long."))
        else:
            self._answer(job, XksError(ErrorName.THROTTLING, _BUSY))

    def _answer(self, job: Job, outcome: Outcome) -> None:
        if job.answered:
            return
        job.answered = True
        if job.timer is not None:
            # It would keep the request in memory until its time has come.
            job.timer.cancel()
        self._replies.put(job.connection, None, self._recorded(job, outcome))

    def _recorded(self, job: Job, outcome: Outcome) -> Reply:
        """Return the reply that carries an outcome, once a call that was worked on has a record."""
        if not job.begun and isinstance(outcome, XksError):
            return refusal_of(outcome, job.reply_id)
        try:
            self._record(job.facts, outcome if isinstance(outcome, XksError) else None)
        except Exception:
            logger.exception("a call to the XKS proxy could not be recorded")
            return refusal_of(NOT_RECORDED, job.reply_id)
        return reply_of(outcome, job.reply_id)

    def _record(self, facts: XksFacts, error: XksError | None) -> None:
        event_id = self._trail.event_id()
        if error is None and facts.key is not None and facts.route.call in _USES:
            use = KeyUse(facts.key.locator, facts.route.call, facts.now, event_id, facts.request_id[:64])
            self._note_use(use)
        self._trail.record(facts, error, event_id)
