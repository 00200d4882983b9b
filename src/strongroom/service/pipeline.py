"""The one door: every call goes through ``perform``, allowed or refused, and leaves its audit record."""

import logging

import msgspec

from strongroom.errors import AccessDeniedException, KmsError, KMSInternalException, UnrecognizedClientException
from strongroom.iam import PrincipalKind
from strongroom.keys.imported import as_of
from strongroom.keys.states import require_state
from strongroom.operations.authorization import authorize
from strongroom.operations.context import Backends, Context, MustWait, Origin
from strongroom.operations.operation import PREPARED_AT_ONCE, Lane, Operation
from strongroom.operations.recipient import attest
from strongroom.operations.shapes import Response
from strongroom.service.audit_trail import AuditTrail, Progress
from strongroom.service.call import Call
from strongroom.service.request_quotas import RequestQuotas
from strongroom.snapshot.principals import Credential
from strongroom.store.records import KeyUse
from strongroom.usage.access_key_usage import AccessKeyUsage

UNRECOGNIZED = "The security token included in the request is invalid."
"""AWS's wording for access keys and session tokens that mean nobody."""

logger = logging.getLogger(__name__)


class Service:
    """Performs calls. Safe to use from several threads."""

    def __init__(self, backends: Backends, quotas: RequestQuotas, trail: AuditTrail, usage: AccessKeyUsage) -> None:
        self._backends = backends
        self._quotas = quotas
        self._trail = trail
        self._usage = usage

    def credential(self, access_key_id: str, token: str | None = None) -> Credential | None:
        """Return an active access key, as of now: the view of the store is made current first.

        A temporary key comes with its session token; it may have expired.
        """
        self._backends.snapshot.refresh()
        principals = self._backends.snapshot.principals
        return principals.credential(access_key_id) if token is None else principals.session(access_key_id, token)

    def obstacles(self) -> list[str]:
        """Return what keeps calls from being answered now: the store, the audit log, or nothing."""
        found = []
        try:
            self._backends.store.version()
            with self._backends.store.read() as reader:
                reader.domain_keys()
        except KmsError:
            found.append("the key store does not answer")
        if not self._trail.writable():
            found.append("the audit log cannot be written")
        return found

    def unverified(self, operation: Operation, origin: Origin, error: KmsError, now: float) -> None:
        """Record a request whose signature did not verify."""
        self._trail.unverified(operation, origin, error, now)

    def perform(self, call: Call) -> Response | KmsError:
        """Decode, locate, authorize, check states, run; then record. Never raises: a refusal is returned.

        The result may leave only after the trail has been flushed. While that fails, every call is refused.
        It may wait for a disk, whatever the call's lane.
        """
        progress = self.prepare(call)
        if progress.lane is Lane.WAITING:
            return self.perform(msgspec.structs.replace(call, lane=progress.lane))
        self.run(call, progress)
        return self.record(call, progress)

    def prepare(self, call: Call) -> Progress:
        """Do the first part of ``perform``, all that comes before the operation runs. Never raises.

        A call in a lane that is prepared at once may have to go on in another: see ``Progress.lane``.
        """
        progress = Progress(call.credential)
        if not self._trail.writable():
            progress.result = KMSInternalException("The audit log cannot be written, so nothing was done.")
            return progress
        try:
            self._prepare(call, progress)
        except KmsError as error:
            progress.result = error
        except MustWait:
            progress.lane = Lane.WAITING
        except Exception:
            logger.exception("%s failed", call.operation.name, extra={"request_id": call.origin.request_id})
            progress.result = KMSInternalException()
        return progress

    def run(self, call: Call, progress: Progress) -> None:
        """Do the second part, unless the call was refused: run the operation. Never raises."""
        if progress.result is not None:
            return
        try:
            progress.result = call.operation.run(progress.context, progress.request, *progress.keys)
        except KmsError as error:
            progress.result = error
        except Exception:
            logger.exception("%s failed", call.operation.name, extra={"request_id": call.origin.request_id})
            progress.result = KMSInternalException()

    def record(self, call: Call, progress: Progress) -> Response | KmsError:
        """Do the last part: record what came of a call, and return it, or a refusal if it cannot be recorded."""
        result = KMSInternalException() if progress.result is None else progress.result
        try:
            event_id = self._trail.event_id()
            if call.operation.uses and isinstance(result, Response):
                # Before the record: once that is in the log, its use counts as noted.
                self._note_uses(call, progress, event_id)
            self._trail.call(call, progress, result, event_id)
        except Exception:
            about = {"request_id": call.origin.request_id}
            logger.exception("%s could not be recorded", call.operation.name, extra=about)
            return KMSInternalException()
        return result

    def _note_uses(self, call: Call, progress: Progress, event_id: str) -> None:
        for target in progress.targets:
            if target.key is not None:
                # In whole seconds, as the record has it.
                used_at = float(int(call.now))
                use = KeyUse(target.key.key.locator, call.operation.name, used_at, event_id, call.origin.request_id)
                self._backends.key_uses.note(use)

    def refuse(self, call: Call, error: KmsError) -> KmsError:
        """Refuse a call without looking at it, and record that. Never raises, whether it can be recorded or not."""
        progress = Progress(call.credential)
        progress.result = error
        result = self.record(call, progress)
        return result if isinstance(result, KmsError) else error

    def _caller(self, call: Call) -> Credential:
        """Return who calls, as of now: not who signed, where a service calls on somebody's behalf.

        Raises UnrecognizedClientException for an access key that is gone by now, or not good for this, and
        AccessDeniedException as ``_on_behalf_of`` does.
        """
        credential, operation = call.credential, call.operation
        if not credential.access_key_id:
            # Looking up who signed makes the snapshot current; nobody signed this.
            self._backends.snapshot.refresh()
        elif call.lane not in PREPARED_AT_ONCE:
            # Time has passed since the signature was verified.
            renewed = self.credential(credential.access_key_id, call.token)
            if renewed is None:
                raise UnrecognizedClientException(UNRECOGNIZED)
            credential = renewed
        if operation.service == "iam" and _is_plain_session(credential):
            # Or a stolen access key could make itself others, for as long as its session lasts (STS API Reference,
            # GetSessionToken).
            raise UnrecognizedClientException(UNRECOGNIZED)
        return credential if call.on_behalf_of is None else self._on_behalf_of(credential, operation, call.on_behalf_of)

    def _on_behalf_of(self, credential: Credential, operation: Operation, principal: str) -> Credential:
        """Return the credential for a call that a trusted service makes on behalf of a principal, named by its ARN.

        Raises AccessDeniedException unless the signer is a service, the call is one to KMS (a service uses keys for
        others; it does not manage them), and the principal exists in some account: a service does not speak for another
        service.
        """
        signer = credential.principal
        found = None
        if signer.kind is PrincipalKind.SERVICE and operation.service == "kms":
            found = self._backends.snapshot.principals.named(principal)
        if found is None or not found.principal.account:
            raise AccessDeniedException(f"{signer.arn} may not call on behalf of {principal}")
        return msgspec.structs.replace(found, access_key_id=credential.access_key_id)

    def _prepare(self, call: Call, progress: Progress) -> None:
        operation = call.operation
        if call.credential.access_key_id and call.credential.session is None:
            self._usage.note(call.credential.access_key_id, call.now, call.region, operation.service)
        credential = progress.credential = self._caller(call)
        request = progress.request = call.wire.decode(operation, call.body)
        context = progress.context = Context(
            backends=self._backends,
            credential=credential,
            region=call.region,
            now=call.now,
            action=operation.action,
            rule=operation.rule,
            cross_account=operation.cross_account,
            origin=call.origin,
            may_wait=call.lane not in PREPARED_AT_ONCE,
        )
        targets = progress.targets = operation.locate(context, request)
        # What a request without a signature proves about its sender is found there.
        progress.credential = context.credential
        # As on AWS, requests that will be refused count too.
        self._quotas.spend(operation, request, targets, context.caller.account, call.region, call.now)
        # Policies ask what a recipient has proved, so that comes first.
        progress.attested = context.attested = attest(context, request)
        authorize(context, targets, request)
        keys = progress.keys = [target.key for target in targets if target.key is not None]
        if operation.rule is not None:
            for active in keys:
                require_state(operation.rule, as_of(active.key, call.now).state, active.key.arn)
                if active.is_slow and operation.uses:
                    progress.lane = Lane.SIGNING


def _is_plain_session(credential: Credential) -> bool:
    """Tell whether these are temporary credentials of a user or root, rather than of a role."""
    return credential.session is not None and credential.principal.kind is not PrincipalKind.ASSUMED_ROLE
