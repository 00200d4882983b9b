"""The one door: every call goes through ``perform``, allowed or refused, and leaves its audit record."""

import logging
from collections.abc import Sequence

import msgspec

from strongroom.errors import KmsError, KMSInternalException
from strongroom.keys.states import require_state
from strongroom.operations.authorization import authorize
from strongroom.operations.context import Backends, Context
from strongroom.operations.operation import Operation, Placement
from strongroom.operations.shapes import Empty, Request, Response
from strongroom.operations.targets import Target
from strongroom.operations.validation import decode
from strongroom.service.call import Call, Origin, Outcome
from strongroom.service.trail import Trail
from strongroom.snapshot.snapshot import Credential

logger = logging.getLogger(__name__)

_encoder = msgspec.json.Encoder()


class Service:
    """Performs calls. Safe to use from several threads."""

    def __init__(self, backends: Backends, trail: Trail) -> None:
        self._backends = backends
        self._trail = trail

    def credential(self, access_key_id: str) -> Credential | None:
        """Return an active access key, as of now: the view of the store is made current first."""
        self._backends.snapshot.refresh()
        return self._backends.snapshot.credential(access_key_id)

    def ready(self) -> bool:
        """Tell whether the store answers."""
        try:
            self._backends.snapshot.refresh()
        except KmsError:
            return False
        return True

    def unverified(self, operation: Operation, origin: Origin, error: KmsError, now: float) -> None:
        """Record a request whose signature did not verify."""
        self._trail.unverified(operation, origin, error, now)

    def perform(self, call: Call) -> Outcome:
        """Decode, locate, authorize, check states, run; then record. Never raises.

        The outcome may leave only after the trail has been flushed.
        """
        progress = _Progress()
        try:
            response = self._run(call, progress)
        except KmsError as error:
            return self._refuse(call, progress, error)
        except Exception:
            logger.exception("request %s failed: %s", call.origin.request_id, call.operation.name)
            return self._refuse(call, progress, KMSInternalException())
        self._trail.call(call, progress.request, progress.targets, response)
        return Outcome(200, b"" if isinstance(response, Empty) else _encoder.encode(response))

    def refuse(self, call: Call, error: KmsError) -> Outcome:
        """Refuse a call without looking at it, and record that."""
        return self._refuse(call, _Progress(), error)

    def _run(self, call: Call, progress: "_Progress") -> Response:
        operation = call.operation
        request: Request = decode(operation.decoder, call.body)
        progress.request = request
        if operation.placement is Placement.THREAD:
            # Time has passed since the credential was looked up.
            self._backends.snapshot.refresh()
        context = Context(
            backends=self._backends,
            caller=call.credential.principal,
            region=call.region,
            now=call.now,
            action=operation.action,
            rule=operation.rule,
            source_ip=call.origin.source_ip,
            secure=call.origin.secure,
        )
        targets = progress.targets = operation.locate(context, request)
        authorize(context, targets, request)
        keys = [target.key for target in targets if target.key is not None]
        if operation.rule is not None:
            for active in keys:
                require_state(operation.rule, active.key.state, active.key.arn)
        return operation.run(context, request, *keys)

    def _refuse(self, call: Call, progress: "_Progress", error: KmsError) -> Outcome:
        self._trail.call(call, progress.request, progress.targets, error)
        return Outcome(error.status, error_body(error))


class _Progress:
    """How far a call came before it was refused: what its audit record can tell."""

    def __init__(self) -> None:
        self.request: Request | None = None
        self.targets: Sequence[Target] = ()


def error_body(error: KmsError) -> bytes:
    """Return AWS's JSON for a refusal; without a message member where AWS gives none."""
    if error.message is None:
        return _encoder.encode({"__type": error.code})
    return _encoder.encode({"__type": error.code, "message": error.message})
