"""Takes the requests of a turn through admission and the pipeline, and places in lanes those that take longer.

There is no coroutine and no task per request. The requests of a turn go through each stage together: all signatures are
verified, then all calls prepared, run and recorded; one flush of the audit log covers them. See docs/adr/0009.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from strongroom.api.gateway import Admitted, Gateway, ReadinessCheck
from strongroom.api.reply import Reply
from strongroom.clock import Clock
from strongroom.errors import KmsError, KMSInternalException, ThrottlingException
from strongroom.http.connection import Connection
from strongroom.http.message import HttpRequest
from strongroom.operations.lanes import PREPARED_AT_ONCE, Lane
from strongroom.server.lane_limits import LaneLimits
from strongroom.server.lane_threads import Lanes
from strongroom.server.lease_wait import LeaseWait
from strongroom.server.readiness_probe import ReadinessProbe
from strongroom.server.refusals import BUSY, Refusals
from strongroom.server.reply_queue import ReplyQueue
from strongroom.server.thread_work import (
    Admission,
    EndedCall,
    Job,
    NextStep,
    PreparedCall,
    Step,
    ThreadStep,
    ThreadWork,
    UnsettledStep,
    WholeCall,
    caller_of,
    step_after,
)
from strongroom.server.turn_queue import Arrived
from strongroom.server.unsettled_answers import UnsettledAnswers
from strongroom.service.counters import CallCounters
from strongroom.service.readiness import Condition
from strongroom.service.service import Service
from strongroom.service.stages import Prepared, Suspended
from strongroom.snapshot.miss import MustWait
from strongroom.store.leases.view import LeaseEnded
from strongroom.store.unsettled import ChangeLost

logger = logging.getLogger(__name__)

_ADMISSION = Admission()

_InTurn = tuple[Connection, HttpRequest, Admitted]


class Dispatcher:
    """Decides where each request goes on. Lives on the event loop; ``threads`` says how many each lane has.

    ``timed`` has it note on each request when work on it began and ended, which observers want to know. ``lease_wait``
    returns how long a request that arrives may wait for a lease of the node, seconds.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of a dispatcher
        self,
        loop: asyncio.AbstractEventLoop,
        gateway: Gateway,
        service: Service,
        replies: ReplyQueue,
        refusals: Refusals,
        counters: CallCounters,
        clock: Clock,
        *,
        threads: Mapping[Lane, int],
        timed: bool,
        lease_wait: Callable[[], float],
    ) -> None:
        self._gateway = gateway
        self._pipeline = service.pipeline
        self._replies = replies
        self._refusals = refusals
        self._counters = counters
        self._timer = clock.timer
        self._timed = timed
        self.limits = LaneLimits()
        self._readiness = ReadinessProbe(loop, service.readiness.check)
        work = ThreadWork(gateway, service.pipeline, clock)
        self._unsettled: UnsettledAnswers[tuple[Job, UnsettledStep]] = UnsettledAnswers(loop, self._settled)
        self._lease_wait = LeaseWait(
            loop,
            service.pipeline.has_lease,
            self.take_turn,
            self._refuse_on_threads,
            longest=lease_wait,
            timer=clock.timer,
        )
        self._lanes: Lanes[Job, Step] = Lanes(loop, threads, work.perform, self._back_from_thread, self._failed)

    def close(self) -> None:
        """End the threads. Requests that have not ended are forgotten: their connections are closed by now."""
        self._readiness.close()
        self._lease_wait.close()
        self._gateway.close()
        self._lanes.close()
        self._unsettled.close()

    # --- a turn

    def take_turn(self, arrived: Sequence[Arrived]) -> None:
        """Answer the requests of a turn, as far as they end on the event loop."""
        admitted = [(connection, request, self._admitted(connection, request)) for connection, request in arrived]
        self._perform([each for one in admitted if (each := self._placed(*one)) is not None])
        self._replies.flush()

    def _admitted(
        self, connection: Connection, request: HttpRequest
    ) -> Admitted | Admission | ReadinessCheck | Reply | None:
        """Admit a request; always with some outcome, so that every client gets a reply. None if it waits."""
        try:
            return self._gateway.admit(request, may_wait=False)
        except MustWait:
            return _ADMISSION
        except LeaseEnded:
            # On a thread it is admitted if there is a lease by then; otherwise that refuses and records it.
            if self._lease_wait.put((connection, request)):
                return None
            self._counters.refused_without_lease += 1
            return _ADMISSION
        except Exception:
            logger.exception("a request could not be admitted")
            return self._gateway.refused(request.headers, KMSInternalException())

    def _placed(
        self,
        connection: Connection,
        request: HttpRequest,
        admitted: Admitted | Admission | ReadinessCheck | Reply | None,
    ) -> _InTurn | None:
        """Return what is to be prepared on the event loop; take the next step of any other request."""
        if not isinstance(admitted, Admitted):
            if admitted is not None:
                self._follow(connection, request, admitted)
            return None
        lane = admitted.call.lane
        if lane is Lane.INLINE:
            return connection, request, admitted
        if lane in PREPARED_AT_ONCE and not self.limits.is_full(lane, caller_of(admitted.call)):
            return connection, request, admitted
        # If the lane is full, the call is refused there before anything is done for it.
        self._place(connection, request, WholeCall(admitted, lane))
        return None

    def _refuse_on_threads(self, arrived: Sequence[Arrived]) -> None:
        """Refuse requests that have waited for a lease without success. Recording that may read the store."""
        self._counters.refused_without_lease += len(arrived)
        for connection, request in arrived:
            self._place(connection, request, _ADMISSION)

    def _perform(self, turn: Sequence[_InTurn]) -> None:
        started_at = self._timer()
        outcomes = self._pipeline.take_turn([admitted.call for _, _, admitted in turn])
        for (connection, request, admitted), outcome in zip(turn, outcomes, strict=True):
            if type(outcome) is Prepared or type(outcome) is Suspended:
                self._follow(connection, request, step_after(admitted, outcome))
            else:
                self._replies.put(connection, request, admitted.reply(outcome))
        if self._timed:
            finished_at = self._timer()
            for _, request, _ in turn:
                request.started_at, request.finished_at = started_at, finished_at

    # --- the steps after that

    def _follow(self, connection: Connection, request: HttpRequest, step: NextStep) -> None:
        """Take the next step of a request."""
        if isinstance(step, Reply):
            self._replies.put(connection, request, step)
        elif isinstance(step, EndedCall):
            result = self._pipeline.record(step.ended)
            self._replies.put(connection, request, step.admitted.reply(result))
        elif isinstance(step, ReadinessCheck):
            self._check_readiness(connection, request, step)
        else:
            self._place(connection, request, step)

    def _place(self, connection: Connection, request: HttpRequest, step: ThreadStep) -> None:
        """Hand a step to the threads of its lane; if that is full, refuse the request."""
        if self.limits.is_full(step.lane, step.caller) or (self._unsettled.is_full and _may_write(step)):
            self._shed(connection, request, step)
            return
        self.limits.enter(step.lane, step.caller)
        self._lanes.submit(step.lane, Job(connection, request, step))

    def _shed(self, connection: Connection, request: HttpRequest, step: ThreadStep) -> None:
        """Refuse a request whose lane is full. Calls with a valid signature are recorded, as any refused call."""
        busy = ThrottlingException(BUSY)
        if isinstance(step, PreparedCall):
            refusal = self._pipeline.refuse(step.prepared, busy)
            self._replies.put(connection, request, step.admitted.reply(refusal))
        elif isinstance(step, WholeCall) and step.admitted.call.signed:
            refusal = self._pipeline.refuse(step.admitted.call, busy)
            self._replies.put(connection, request, step.admitted.reply(refusal))
        else:
            self._refusals.busy(connection, request.method, request.path, request.headers)

    def _check_readiness(self, connection: Connection, request: HttpRequest, check: ReadinessCheck) -> None:
        def answer(condition: Condition) -> None:
            self._replies.put(connection, request, check.reply(condition))

        if self._replies.draining:
            answer(Condition(["stopping"]))
        else:
            self._readiness.ask(answer)

    # --- back from a thread

    def _back_from_thread(self, job: Job, step: Step) -> None:
        self.limits.leave(job.step.lane, job.step.caller)
        if isinstance(step, UnsettledStep):
            # The change is durable. If this process is killed while its answer waits, there must be a record of it.
            self._replies.write_records()
            self._unsettled.hold(step.unsettled, (job, step))
        else:
            self._go_on(job, step)

    def _settled(self, held: tuple[Job, UnsettledStep]) -> None:
        job, step = held
        if step.unsettled.is_lost:
            # It may be recorded as done. Then a second record says that this is not known any more.
            self._go_on(job, self._refusal(job, ChangeLost()))
        else:
            self._go_on(job, step.step)

    def _go_on(self, job: Job, step: NextStep) -> None:
        try:
            self._follow(job.connection, job.request, step)
        except Exception:
            logger.exception("a request could not be worked on; dropping its connection")
            job.connection.drop()

    def _failed(self, job: Job) -> None:
        """Answer a request whose step failed, which is a defect, and record its call."""
        self._back_from_thread(job, self._refusal(job, KMSInternalException()))

    def _refusal(self, job: Job, error: KmsError) -> Reply:
        if isinstance(job.step, Admission):
            return self._gateway.refused(job.request.headers, error)
        return job.step.admitted.reply(self._pipeline.refuse(job.step.admitted.call, error))


def _may_write(step: ThreadStep) -> bool:
    """Tell whether a step is known to be one of a call that changes something."""
    return not isinstance(step, Admission) and not step.admitted.call.operation.read_only
