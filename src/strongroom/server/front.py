"""The HTTP front: hands requests to the gateway and the service, and lets answers go once their records are out.

Requests that arrive in one turn of the loop are worked on together in the next, stage by stage: all signatures are
verified, then all calls performed, then all of them recorded; one flush of the audit log covers them, and only then are
the replies written. A stage's code and data stay in the processor's caches that way, and a call costs a quarter less
than if each request went through all stages by itself. There is no coroutine and no task per request.

Whatever waits is bounded: connections, what they hold (``held_bytes``), requests that have arrived, calls in each lane.
What comes beyond is answered with ThrottlingException.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from http import HTTPStatus

import msgspec
from msgspec.structs import replace

from strongroom.api.gateway import Admitted, Gateway
from strongroom.audit.sink import AuditSink
from strongroom.clock import Clock
from strongroom.errors import KmsError, KMSInternalException, RequestEntityTooLargeException, ThrottlingException
from strongroom.http.connection import Connection, Handler
from strongroom.http.excess_connections import MOST_TURNED_AWAY, ExcessConnections
from strongroom.http.held_bytes import HeldBytes
from strongroom.http.message import CallObserver, HttpRequest, Reply
from strongroom.http.tls_handshakes import Handshakes
from strongroom.operations.operation import Lane
from strongroom.operations.shapes import Response
from strongroom.server.lanes import Lanes
from strongroom.service.audit_trail import Progress
from strongroom.service.counters import CallCounters
from strongroom.service.pipeline import Service

logger = logging.getLogger(__name__)

_MAX_IN_LANE = {Lane.WAITING: 1024, Lane.SIGNING: 1024, Lane.COMPUTING: 1024, Lane.GENERATING: 32}
_MAX_UNSIGNED = 32
_AT_ONCE = 128
_MOST_ARRIVED = 4096
"""Requests that wait for their turn: what is done in about a tenth of a second."""
_HEALTH = "/healthz"
_BUSY = "The service is busy. Reduce the frequency of your calls."
_SWEEP_INTERVAL = 1.0
_DRAIN_STEP = 0.01


class _Job(msgspec.Struct):
    """A call to perform. ``progress`` is how far it came, if it is recorded on the loop."""

    connection: Connection
    request: HttpRequest
    admitted: Admitted
    progress: Progress | None = None


class Capacity(msgspec.Struct, frozen=True):
    """What a worker takes on: threads of each lane, connections, and bytes held for them beyond a little for each."""

    threads: Mapping[Lane, int]
    connections: int
    held: int


class Front:
    """Connects the parts. Lives on one event loop; only ``_perform`` runs elsewhere."""

    def __init__(  # noqa: PLR0913 - the parts of a front
        self,
        loop: asyncio.AbstractEventLoop,
        gateway: Gateway,
        service: Service,
        log: AuditSink,
        capacity: Capacity,
        clock: Clock,
        *,
        counters: CallCounters,
        observers: Sequence[CallObserver] = (),
    ) -> None:
        self._loop = loop
        self._gateway = gateway
        self._service = service
        self._log = log
        self._clock = clock
        self._most_connections = capacity.connections
        self._connections: set[Connection] = set()
        self._arrived: deque[tuple[Connection, HttpRequest]] = deque()
        self.held_bytes = HeldBytes(capacity.held)
        self._excess = ExcessConnections(self, self._turn_away)
        self.handshakes = Handshakes(capacity.connections + MOST_TURNED_AWAY, self._count)
        self._replies: list[tuple[Connection, HttpRequest | None, Reply]] = []
        self._on_threads = {(lane, signed): 0 for lane in _MAX_IN_LANE for signed in (True, False)}
        self._lanes: Lanes[_Job, Reply | None] = Lanes(
            loop, capacity.threads, self._perform, self._back_from_thread, self._failed_on_thread
        )
        self._date = (0, "")
        self._observers = tuple(observers)
        self._counters = counters
        counters.connections, counters.in_work = self._connections, self._on_threads
        self.timer = clock.timer
        self._sweep()

    # --- what connections call

    def time(self) -> float:
        """Return the loop's time."""
        return self._loop.time()

    def opened(self, connection: Connection) -> Handler:
        """Note a new connection, or have it turned away."""
        self.handshakes.over(connection)
        if len(self._connections) >= self._most_connections:
            return self._excess.opened(connection)
        self._connections.add(connection)
        self._counters.accepted_connections += 1
        return self

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)

    def handle(self, connection: Connection, request: HttpRequest) -> None:
        """Take a request; it is worked on in the next turn of the loop, with all that arrived in this one."""
        if len(self._arrived) >= _MOST_ARRIVED:
            self._turn_away(connection, request.path, request.headers)
            return
        if not self._arrived:
            self._loop.call_soon(self._turn)
        self._arrived.append((connection, request))

    def _turn(self) -> None:
        """Work on what has arrived: only so much in one turn, so that connections are read and answered in between."""
        arrived = [self._arrived.popleft() for _ in range(min(len(self._arrived), _AT_ONCE))]
        if self._arrived:
            self._loop.call_soon(self._turn)
        try:
            self._work(arrived)
        except Exception:
            logger.exception("requests could not be worked on; dropping their connections: %d", len(arrived))
            # Or they would wait for ever. What was done is recorded all the same, and answers go to those still there.
            for connection, _ in arrived:
                connection.drop()
            self._flush()

    def _work(self, arrived: Sequence[tuple[Connection, HttpRequest]]) -> None:
        """Do what only computes at once, give what waits for a disk to a thread."""
        admitted = [(connection, request, self._admitted(request)) for connection, request in arrived]
        self._perform_here([job for each in admitted if (job := self._placed(*each)) is not None])
        self._flush()

    def _perform_here(self, jobs: Sequence[_Job]) -> None:
        """Take calls through each step together; but what takes too long for the loop a thread does."""
        service = self._service
        performing = self.timer()
        calls = [(job, job.admitted.call, service.prepare(job.admitted.call)) for job in jobs]
        here = []
        for job, call, progress in calls:
            elsewhere = call.lane is Lane.SIGNING or progress.lane is not None
            if not (elsewhere and progress.result is None and self._goes_on(job, progress)):
                here.append((job, call, progress))
        for _, call, progress in here:
            service.run(call, progress)
        results = [(job, service.record(call, progress)) for job, call, progress in here]
        self._replies += [(job.connection, job.request, _reply(job.admitted, result)) for job, result in results]
        if self._observers:
            performed = self.timer()
            for job in jobs:
                job.request.performing, job.request.performed = performing, performed

    def _admitted(self, request: HttpRequest) -> Admitted | Reply:
        """Admit a request; always with some outcome, so that no connection waits for ever."""
        try:
            return self._gateway.admit(request)
        except Exception:
            logger.exception("a request could not be admitted")
            return Reply(HTTPStatus.INTERNAL_SERVER_ERROR, b"", "text/plain", self._gateway.request_id())

    def _placed(self, connection: Connection, request: HttpRequest, admitted: Admitted | Reply) -> _Job | None:
        """Return what is to be done on the loop; queue what is answered already, and hand the rest to its lane."""
        if isinstance(admitted, Reply):
            self._queue(connection, request, admitted)
        elif admitted.call.lane is Lane.INLINE:
            return _Job(connection, request, admitted)
        elif not self._is_full(admitted):
            job = _Job(connection, request, admitted)
            if admitted.call.lane is Lane.SIGNING:
                return job
            self._hand_over(job)
        elif admitted.signed:
            refusal = self._service.refuse(admitted.call, ThrottlingException(_BUSY))
            self._queue(connection, request, _reply(admitted, refusal))
        else:
            self._turn_away(connection, request.path, request.headers)
        return None

    def malformed(self, connection: Connection, status: int, headers: dict[str, str]) -> None:
        """Answer bytes that are no request, or too large a one; ``headers`` as far as they were read."""
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            reply = self._gateway.refused(headers, RequestEntityTooLargeException(None))
        elif status == HTTPStatus.TOO_MANY_REQUESTS:
            reply = self._gateway.refused(headers, ThrottlingException(_BUSY))
        else:
            reply = Reply(status, b"", "text/plain", self._gateway.request_id())
        self._queue(connection, None, reply)

    def _turn_away(self, connection: Connection, path: str, headers: dict[str, str]) -> None:
        """Refuse a request that there is no time for, not even to see who signed it; it leaves no record.

        Being busy is no reason to be taken for dead.
        """
        reply = self._gateway.refused(headers, ThrottlingException(_BUSY))
        alive = Reply(200, b"ok\n", "text/plain", reply.request_id)
        self._queue(connection, None, alive if path == _HEALTH else reply)

    def _is_full(self, admitted: Admitted) -> bool:
        """Tell whether a lane has all it can take. Who has not even an access key takes no place of those who have."""
        lane, signed = admitted.call.lane, admitted.signed
        return self._on_threads[lane, signed] >= (_MAX_IN_LANE[lane] if signed else _MAX_UNSIGNED)

    def _goes_on(self, job: _Job, progress: Progress) -> bool:
        """Have a thread go on with a prepared call; but if the lane it turned out to need is full, refuse it."""
        if progress.lane is not None:
            job.admitted = replace(job.admitted, call=replace(job.admitted.call, lane=progress.lane))
            if self._is_full(job.admitted):
                progress.result = ThrottlingException(_BUSY)
                return False
        job.progress = progress if job.admitted.call.lane is Lane.SIGNING else None
        self._hand_over(job)
        return True

    # --- on threads

    def _hand_over(self, job: _Job) -> None:
        self._on_threads[job.admitted.call.lane, job.admitted.signed] += 1
        self._lanes.submit(job.admitted.call.lane, job)

    def _perform(self, job: _Job) -> Reply | None:
        """Do what is left of a call, and return its reply, unless it is recorded on the loop.

        What was prepared there is, and what nobody signed: whether that is recorded the loop decides.
        """
        call, request = job.admitted.call, job.request
        request.performing = request.performing or self.timer()
        if job.progress is None and job.admitted.signed:
            reply = _reply(job.admitted, self._service.perform(call))
        else:
            job.progress = job.progress or self._service.prepare(call)
            self._service.run(call, job.progress)
            reply = None
        request.performed = self.timer()
        return reply

    def _back_from_thread(self, job: _Job, reply: Reply | None) -> None:
        admitted = job.admitted
        self._on_threads[admitted.call.lane, admitted.signed] -= 1
        if job.progress is not None:
            reply = _reply(admitted, self._recorded(admitted, job.progress))
        if reply is not None:
            self._queue(job.connection, job.request, reply)

    def _recorded(self, admitted: Admitted, progress: Progress) -> Response | KmsError:
        refusal = progress.result
        if isinstance(refusal, KmsError) and not admitted.signed and not self._gateway.ration.take(admitted.call.now):
            return refusal
        return self._service.record(admitted.call, progress)

    def _failed_on_thread(self, job: _Job) -> None:
        job.progress = None
        self._back_from_thread(job, job.admitted.reply(KMSInternalException()))

    # --- the end of a call

    def _queue(self, connection: Connection, request: HttpRequest | None, reply: Reply) -> None:
        if not self._replies:
            self._loop.call_soon(self._flush)
        self._replies.append((connection, request, reply))

    def _flush(self) -> None:
        """Write the records of this turn, then its replies; without the records, the replies become refusals."""
        if not self._replies:
            return
        replies, self._replies = self._replies, []
        fault: KmsError | None = None
        flushing = self.timer()
        try:
            self._log.flush()
        except Exception as error:
            logger.exception("the audit log cannot be written; refusing %d calls", len(replies))
            fault = error if isinstance(error, KmsError) else KMSInternalException()
        flushed = self.timer()
        if fault is not None:
            replies = [
                (connection, request, reply if reply.operation is None else reply.refused(fault))
                for connection, request, reply in replies
            ]
        # Before anything is sent: behind that, connections go on with their next requests.
        self._note(replies, flushing, flushed, failed=fault is not None)
        date, draining = self._http_date(), self._gateway.draining
        encoded = [
            (connection, reply.encode(date, keep_alive=not (last := connection.last or draining)), last)
            for connection, _, reply in replies
        ]
        for connection, response, last in encoded:
            try:
                connection.send(response, close=last)
            except Exception:
                logger.exception("a reply could not be written; dropping its connection")
                connection.drop()

    def _note(
        self,
        replies: Sequence[tuple[Connection, HttpRequest | None, Reply]],
        flushing: float,
        flushed: float,
        *,
        failed: bool,
    ) -> None:
        """Note what was answered, and how long that took, for whoever measures or watches."""
        note = self._counters.note
        if not failed:
            note((None, "", flushed - flushing))
        for _, request, reply in replies:
            if request is None or reply.operation is None:
                self._counters.answered_no_call(reply.status)
            else:
                note((reply.operation, reply.outcome, flushed - request.begun))
                if self._observers:
                    self._tell(request, reply, flushing, flushed)
        self._counters.turned()

    def _tell(self, request: HttpRequest, reply: Reply, flushing: float, flushed: float) -> None:
        """Tell the observers of an answer. It leaves all the same if they cannot take note."""
        try:
            for observer in self._observers:
                observer.answered(request, reply, flushing, flushed)
        except Exception:
            logger.exception("a call could not be witnessed", extra={"request_id": reply.request_id})

    def _http_date(self) -> str:
        second = int(self._clock.now())
        if second != self._date[0]:
            self._date = (second, formatdate(second, usegmt=True))
        return self._date[1]

    # --- housekeeping

    def _sweep(self) -> None:
        """Drop connections that have run out of time; tell of records that were not made."""
        self._gateway.ration.settle(self._clock.now())
        now = self._loop.time()
        for connection in [each for each in self._all() if each.deadline < now]:
            connection.drop()
        self._sweeper = self._loop.call_later(_SWEEP_INTERVAL, self._sweep)

    async def drain(self, grace: float) -> None:
        """Answer the requests in work and close every connection; after ``grace`` seconds, drop what is left."""
        self._gateway.draining = True
        for connection in self._all():
            connection.finish()
        end = self._loop.time() + grace
        while self._connections and self._loop.time() < end:  # noqa: ASYNC110 - an event would cost every call
            await asyncio.sleep(_DRAIN_STEP)
        for connection in self._all():
            connection.drop()
        self._sweeper.cancel()

    def _count(self) -> int:
        return len(self._connections) + len(self._excess.connections)

    def _all(self) -> list[Connection]:
        return [*self._connections, *self._excess.connections]

    def close(self) -> None:
        """End the threads. What has not begun has nobody left to answer."""
        self._gateway.ration.tell()
        self._lanes.close()


def _reply(admitted: Admitted, result: Response | KmsError) -> Reply:
    """Return the reply to a call: always one, so that no connection waits for ever."""
    try:
        return admitted.reply(result)
    except Exception:
        call = admitted.call
        logger.exception("%s could not be answered", call.operation.name, extra={"request_id": call.origin.request_id})
        return admitted.reply(KMSInternalException())
