"""What is to be done next for a request that does not end on the event loop, and how a thread does it."""

import logging

import msgspec

from strongroom.api.gateway import Admitted, Gateway, ReadinessCheck
from strongroom.api.reply import Reply
from strongroom.clock import Clock
from strongroom.errors import KmsError
from strongroom.http.connection import Connection
from strongroom.http.message import HttpRequest
from strongroom.operations.lanes import Lane
from strongroom.operations.shapes import Response
from strongroom.server.lane_limits import Caller
from strongroom.service.call import Call
from strongroom.service.pipeline import Pipeline
from strongroom.service.stages import Completed, Prepared, Refused, Suspended
from strongroom.store.unsettled import Unsettled

logger = logging.getLogger(__name__)


class Admission(msgspec.Struct, frozen=True):
    """Admit a request whose access key has to be read first, and take its call through."""

    lane: Lane = Lane.READING
    caller: Caller = Caller.UNVERIFIED


class WholeCall(msgspec.Struct, frozen=True):
    """Take an admitted call through all stages; ``quota_spent`` is that of a call that was suspended."""

    admitted: Admitted
    lane: Lane
    quota_spent: bool = False

    @property
    def caller(self) -> Caller:
        """What is known of the sender."""
        return caller_of(self.admitted.call)


class PreparedCall(msgspec.Struct, frozen=True):
    """Go on with a prepared call in its lane."""

    admitted: Admitted
    prepared: Prepared

    @property
    def lane(self) -> Lane:
        """Where it runs."""
        return self.prepared.lane

    @property
    def caller(self) -> Caller:
        """What is known of the sender."""
        return caller_of(self.admitted.call)


class EndedCall(msgspec.Struct, frozen=True):
    """Record a call that has run, on the event loop."""

    admitted: Admitted
    ended: Completed | Refused


ThreadStep = Admission | WholeCall | PreparedCall
"""What a thread does."""
NextStep = ThreadStep | EndedCall | ReadinessCheck | Reply
"""What follows: something for a thread, something for the event loop, or the reply."""


class UnsettledStep(msgspec.Struct, frozen=True):
    """Take the next step when what the call has written is settled."""

    step: NextStep
    unsettled: Unsettled


Step = NextStep | UnsettledStep


class Job(msgspec.Struct, frozen=True):
    """A step for a thread, and the request it is done for."""

    connection: Connection
    request: HttpRequest
    step: ThreadStep


class ThreadWork:
    """Does steps on the threads of the lanes."""

    def __init__(self, gateway: Gateway, pipeline: Pipeline, clock: Clock) -> None:
        self._gateway = gateway
        self._pipeline = pipeline
        self._timer = clock.timer

    def perform(self, job: Job) -> Step:
        """Do a step, and return the one that follows."""
        request = job.request
        request.started_at = request.started_at or self._timer()
        settling = self._pipeline.settling
        followed_by: Step
        if settling is None:
            followed_by = self._perform(request, job.step)
        else:
            with settling.deferred() as unsettled:
                followed_by = self._perform(request, job.step)
            # In this order: `lost` first notes the loss, so that one that comes in between is not missed.
            if not unsettled.is_settled or unsettled.is_lost:
                followed_by = UnsettledStep(followed_by, unsettled)
        request.finished_at = self._timer()
        return followed_by

    def _perform(self, request: HttpRequest, step: ThreadStep) -> NextStep:
        if isinstance(step, PreparedCall):
            return step_after(step.admitted, self._pipeline.go_on(step.prepared))
        if isinstance(step, WholeCall):
            outcome = self._pipeline.take_through(step.admitted.call, step.lane, quota_spent=step.quota_spent)
            return step_after(step.admitted, outcome)
        admitted = self._gateway.admit(request)
        if not isinstance(admitted, Admitted):
            return admitted
        return step_after(admitted, self._pipeline.take_through(admitted.call, step.lane))


def step_after(
    admitted: Admitted, outcome: Response | KmsError | Prepared | Suspended | Completed | Refused
) -> WholeCall | PreparedCall | EndedCall | Reply:
    """Return what follows from what the pipeline returned for a call."""
    if type(outcome) is Prepared:
        return PreparedCall(admitted, outcome)
    if type(outcome) is Suspended:
        return WholeCall(admitted, Lane.READING, outcome.quota_spent)
    if type(outcome) is Completed or type(outcome) is Refused:
        return EndedCall(admitted, outcome)
    return admitted.reply(outcome)


def caller_of(call: Call) -> Caller:
    """Return what is known of the sender of an admitted call."""
    return Caller.SIGNED if call.signed else Caller.UNSIGNED
