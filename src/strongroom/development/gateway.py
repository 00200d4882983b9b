"""The gateway of a development server: it also admits requests for control, and lets injected faults happen."""

from collections.abc import Mapping
from http import HTTPStatus

from msgspec.structs import replace
from typing_extensions import override

from strongroom.api.gateway import Admitted, Gateway, ReadinessCheck
from strongroom.api.reply import Reply
from strongroom.api.sigv4 import Verifier
from strongroom.clock import Clock
from strongroom.development.browsers import why_refused
from strongroom.development.control import PREFIX, Control, json_reply
from strongroom.development.faults import Faults
from strongroom.entropy import Entropy
from strongroom.http.message import HttpRequest
from strongroom.operations.operation import Operation
from strongroom.service.readiness import Condition
from strongroom.service.unauthenticated import UnauthenticatedRequests
from strongroom.snapshot.miss import MustWait

NOTICE = b"development: the clock, the faults and the data of this server are under the control of who can reach it\n"


class DevelopmentReadinessCheck(ReadinessCheck, frozen=True):
    """A request for ``/readyz``, whose answer also says that this is a development server."""

    @override
    def reply(self, condition: Condition) -> Reply:
        answer = super().reply(condition)
        return replace(answer, body=answer.body + NOTICE)


class DevelopmentGateway(Gateway):
    """Admits requests as any gateway does, and those for control. Safe to use from several threads."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of a gateway
        self,
        unauthenticated: UnauthenticatedRequests,
        verifier: Verifier,
        clock: Clock,
        entropy: Entropy,
        home: str,
        rows: Mapping[str, Operation],
        control: Control,
        faults: Faults,
        *,
        loopback: bool,
    ) -> None:
        """``rows`` are operations of KMS that run in the place of those of the same name.

        ``loopback`` says whether only this machine can reach the server.
        """
        super().__init__(unauthenticated, verifier, clock, entropy, None, home)
        self._rows = rows
        self._control = control
        self._faults = faults
        self._loopback = loopback

    @override
    def admit(self, request: HttpRequest, *, may_wait: bool = True) -> Admitted | ReadinessCheck | Reply:
        refusal = why_refused(request.headers, loopback=self._loopback)
        if refusal is not None:
            return json_reply({"error": refusal}, HTTPStatus.FORBIDDEN, self.request_id())
        if request.path == PREFIX or request.path.startswith(PREFIX + "/"):
            if not may_wait:
                raise MustWait
            return self._control.answer(request, self.request_id())
        admitted = super().admit(request, may_wait=may_wait)
        if isinstance(admitted, ReadinessCheck):
            return DevelopmentReadinessCheck(admitted.request_id, admitted.method)
        return self._with_fault(self._own(admitted), may_wait=may_wait) if isinstance(admitted, Admitted) else admitted

    @override
    def close(self) -> None:
        self._faults.clear()

    def _with_fault(self, admitted: Admitted, *, may_wait: bool) -> Admitted:
        """Let the next fault of a call happen. A delay is waited for on a thread, to which MustWait takes the call."""
        if not may_wait and self._faults.delays(admitted.call):
            raise MustWait
        effect = self._faults.take(admitted.call)
        if effect is None:
            return admitted
        if effect.delay:
            self._faults.wait(effect)
            # The clock may have been moved meanwhile.
            admitted = replace(admitted, call=replace(admitted.call, now=self._clock.now()))
        return admitted if effect.faulty is None else _running(admitted, effect.faulty)

    def _own(self, admitted: Admitted) -> Admitted:
        operation = admitted.call.operation
        row = self._rows.get(operation.name) if operation.service == "kms" else None
        return admitted if row is None else _running(admitted, row)


def _running(admitted: Admitted, operation: Operation) -> Admitted:
    """Return a call that runs another operation in the place of its own."""
    return replace(admitted, call=replace(admitted.call, operation=operation))
