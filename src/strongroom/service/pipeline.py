"""The pipeline of a call: it is prepared, run and recorded. It alone knows the order of these stages.

The calls of one turn of the event loop are taken through each stage together (``take_turn``), because the code and the
data of a stage then stay in the processor's caches. A call that takes too long for the event loop goes on in another
lane: a stage returns it ``Prepared`` for that lane, or ``Suspended`` if it has to start again where it may wait.

Every call with a valid signature leaves one audit record, whether it was allowed or refused and wherever it ran; some
leave more, for their consequences. The result may leave only after the audit log was flushed. While the log cannot be
written, every call is refused.
"""

import logging
from collections.abc import Sequence

from strongroom.errors import KmsError, KMSInternalException, TargetChanged
from strongroom.keys.states import require_state
from strongroom.operations.authorization import authorize
from strongroom.operations.context import Backends, Context
from strongroom.operations.lanes import Lane
from strongroom.operations.operation import Operation
from strongroom.operations.recipient import attest
from strongroom.operations.shapes import Request, Response
from strongroom.operations.targets import Target
from strongroom.service.audit_trail import AuditTrail
from strongroom.service.call import Call
from strongroom.service.credentials import Credentials
from strongroom.service.request_quotas import RequestQuotas
from strongroom.service.stages import Completed, Prepared, Refused, Suspended
from strongroom.service.unauthenticated import RecordRateLimit
from strongroom.snapshot.active_key import ActiveKey
from strongroom.snapshot.miss import MustWait
from strongroom.store.records import KeyUse
from strongroom.usage.access_key_usage import AccessKeyUsage

logger = logging.getLogger(__name__)

_FAILED = "%s failed"
_MAX_STARTS = 5
"""How often a call is authorized while others keep changing what it names."""


class Pipeline:
    """Takes calls through their stages, which never raises: errors are results. Safe to use from several threads.

    ``record_limit`` bounds the records of refused calls without a signature.
    """

    def __init__(
        self,
        backends: Backends,
        credentials: Credentials,
        quotas: RequestQuotas | None,
        trail: AuditTrail,
        usage: AccessKeyUsage,
        record_limit: RecordRateLimit,
    ) -> None:
        self.credential = credentials.find
        """Returns an active access key; see ``Credentials.find``."""
        self.has_lease = credentials.has_lease
        """Returns whether the node may serve what it has cached."""
        self.settling = backends.store.settling
        """How answers wait for other nodes; see ``Store.settling``."""
        self._backends = backends
        self._credential_of = credentials.of_call
        self._quotas = quotas
        self._trail = trail
        self._usage = usage
        self._record_limit = record_limit

    # --- taking calls through

    def take_turn(self, calls: Sequence[Call]) -> list[Response | KmsError | Prepared | Suspended]:
        """Take calls through each stage together, on the event loop; return what became of each.

        A response or an error has been recorded. What is prepared goes on in its lane, with ``go_on``; what is
        suspended, in the lane ``READING``, with ``take_through``.
        """
        prepared = [self._prepare(call, may_wait=False) for call in calls]
        ended = [self._run(each) if type(each) is Prepared and each.lane is Lane.INLINE else each for each in prepared]
        return [self.record(each) if type(each) is Completed or type(each) is Refused else each for each in ended]

    def take_through(self, call: Call, lane: Lane, *, quota_spent: bool = False) -> Response | KmsError | Prepared:
        """Take one call through all stages, on a thread of a lane, where it may wait.

        Returns it prepared if its keys tell that it has to run in another lane. ``quota_spent`` is that of a call that
        was suspended. A call that finds, in its transaction, that a name stands for something else than it was
        authorized for begins again, so that nothing is done to anything else.
        """
        ended: Completed | Refused | Suspended
        for _ in range(_MAX_STARTS):
            prepared = self._prepare(call, may_wait=True, quota_spent=quota_spent)
            if type(prepared) is not Prepared:
                return self._settled(prepared)
            if prepared.lane is not lane and prepared.lane is not Lane.INLINE:
                return prepared
            prepared.context.authorized = tuple(target.resource for target in prepared.targets)
            ended = self._run(prepared)
            if type(ended) is not Refused or type(ended.result) is not TargetChanged:
                break
            quota_spent = True
        return self._settled(ended)

    def go_on(self, prepared: Prepared) -> Response | KmsError | Prepared | Suspended | Completed | Refused:
        """Go on with a prepared call, on a thread of its lane.

        In the lane ``SIGNING`` it is only run. It is not recorded there, because those threads have a low priority and
        must not hold the locks of others: hand what is returned to ``record`` on the event loop. In any other lane the
        call may have waited for seconds, so it is authorized again, by the policies and key states of that moment.
        """
        if prepared.lane is Lane.SIGNING:
            return self._run(prepared)
        return self.take_through(prepared.call, prepared.lane, quota_spent=True)

    def refuse(self, stage: Call | Prepared | Suspended, error: KmsError) -> Response | KmsError:
        """Refuse a call that goes no further, and record that."""
        if type(stage) is Prepared:
            return self.record(_refused(stage, error))
        call = stage if isinstance(stage, Call) else stage.call
        return self.record(Refused(call, call.credential, None, (), None, error))

    # --- the stages

    def _prepare(self, call: Call, *, may_wait: bool, quota_spent: bool = False) -> Prepared | Refused | Suspended:
        """Do all that comes before the operation runs. ``may_wait`` tells that this is not the event loop."""
        operation, credential = call.operation, call.credential
        request: Request | None = None
        targets: Sequence[Target] = ()
        attested = None
        try:
            if not self._trail.writable():
                raise KMSInternalException("The audit log cannot be written, so nothing was done.")  # noqa: TRY301
            if credential.used_as:
                self._usage.note(credential, call.now, call.region, operation.service)
            credential = self._credential_of(call, may_wait=may_wait)
            request = call.wire.decode(operation, call.body)
            context = Context(
                backends=self._backends,
                credential=credential,
                region=call.region,
                now=call.now,
                action=operation.action,
                rule=operation.rule,
                cross_account=operation.cross_account,
                origin=call.origin,
                may_wait=may_wait,
                request=request,
                record_planned=self._trail.planned,
            )
            targets = operation.locate(context, request)
            # Locating the targets of a call without a signature finds what the request proves about its sender.
            credential = context.credential
            if self._quotas is not None and not quota_spent:
                # As on AWS, requests that will be refused count too.
                self._quotas.spend(operation, request, targets, context.caller.account, call.region, call.now)
                quota_spent = True
            # Policies ask what a recipient has proved, so that comes first.
            recipient = request.attested_recipient() if operation.takes_recipient else None
            if recipient is not None:
                attested = context.attested = attest(context, recipient)
            authorize(context, targets, request)
            keys = _usable_keys(operation, targets, call.now)
            lane = operation.lane_of(call.lane, request, keys, self._backends.key_backends)
            return Prepared(call, context, request, targets, keys, lane)
        except KmsError as error:
            refusal = error
        except MustWait:
            return Suspended(call, quota_spent)
        except Exception:
            logger.exception(_FAILED, operation.name, extra={"request_id": call.origin.request_id})
            refusal = KMSInternalException()
        return Refused(call, credential, request, targets, attested, refusal)

    def _run(self, prepared: Prepared) -> Completed | Refused | Suspended:
        """Run the operation of a call."""
        call, context, request, targets = prepared.call, prepared.context, prepared.request, prepared.targets
        try:
            result: Response = call.operation.run(context, request, *prepared.keys)
        except KmsError as error:
            return _refused(prepared, error)
        except MustWait:
            return Suspended(call, quota_spent=True)
        except Exception:
            logger.exception(_FAILED, call.operation.name, extra={"request_id": call.origin.request_id})
            return _refused(prepared, KMSInternalException())
        return Completed(call, context.credential, request, targets, context.attested, result)

    def record(self, ended: Completed | Refused) -> Response | KmsError:
        """Record how a call ended; return its result, or an error if it cannot be recorded.

        A refused call without a signature is recorded only as far as the rate limit of such records lets it.
        """
        call, result = ended.call, ended.result
        if type(ended) is Refused and not call.signed and not self._record_limit.take(call.now):
            return result
        try:
            event_id = self._trail.event_id()
            if call.operation.uses and type(ended) is Completed:
                # Before the record: once that is in the log, its use counts as noted.
                self._note_uses(ended, event_id)
            self._trail.call(ended, event_id)
        except Exception:
            about = {"request_id": call.origin.request_id}
            logger.exception("%s could not be recorded", call.operation.name, extra=about)
            return KMSInternalException()
        return result

    # --- steps

    def _settled(self, ended: Completed | Refused | Suspended) -> Response | KmsError:
        """Record a call that ran where it may wait, so that it cannot have to be suspended."""
        if type(ended) is Suspended:
            request_id = ended.call.origin.request_id
            logger.error("%s had to wait where it may", ended.call.operation.name, extra={"request_id": request_id})
            return self.refuse(ended, KMSInternalException())
        return self.record(ended)

    def _note_uses(self, completed: Completed, event_id: str) -> None:
        call = completed.call
        for target in completed.targets:
            if target.key is not None:
                # In whole seconds, as the record has it.
                used_at = float(int(call.now))
                use = KeyUse(target.key.key.locator, call.operation.name, used_at, event_id, call.origin.request_id)
                self._backends.key_uses.note(use)


def _usable_keys(operation: Operation, targets: Sequence[Target], now: float) -> list[ActiveKey]:
    """Return the keys of a call; raises DisabledException or KMSInvalidStateException unless their states allow it."""
    keys = [target.key for target in targets if target.key is not None]
    for active in keys:
        state = active.state_at(now)
        if operation.rule is not None and state not in operation.allowed_states:
            require_state(operation.rule, state, active.key.arn)
    return keys


def _refused(prepared: Prepared, error: KmsError) -> Refused:
    context = prepared.context
    return Refused(prepared.call, context.credential, prepared.request, prepared.targets, context.attested, error)
