"""Finds the credential that a request is signed with, and the one that a call is authorized for."""

import msgspec

from strongroom.errors import AccessDeniedException, KmsError, UnrecognizedClientException
from strongroom.iam import PrincipalKind
from strongroom.operations.operation import Operation
from strongroom.service.call import Call
from strongroom.snapshot.principals import Credential
from strongroom.snapshot.snapshot import Snapshot
from strongroom.store.leases.view import LeaseEnded

UNRECOGNIZED = "The security token included in the request is invalid."
"""AWS's wording for access keys and session tokens that do not exist."""


class Credentials:
    """Looks credentials up in a snapshot. Safe to use from several threads.

    Every lookup raises MustWait if ``may_wait`` is False and the store has to be read for it.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._principals = snapshot.principals

    def has_lease(self) -> bool:
        """Return whether the node may serve what it has cached; without a store that is shared, it always may."""
        try:
            self._snapshot.refresh()
        except LeaseEnded:
            return False
        except KmsError:
            # Calls are refused with this; there is nothing to wait for.
            return True
        return True

    def find(self, access_key_id: str, token: str | None = None, *, may_wait: bool) -> Credential | None:
        """Return an active access key, or None. The snapshot is made current first.

        A temporary key comes with its session token; it may have expired.
        """
        self._snapshot.refresh()
        if token is None:
            return self._principals.credential(access_key_id, may_wait=may_wait)
        return self._principals.session(access_key_id, token, may_wait=may_wait)

    def of_call(self, call: Call, *, may_wait: bool) -> Credential:
        """Return the credential that a call is authorized for.

        This is the credential that signed it, except when a trusted service calls on behalf of a principal. Where the
        call may wait, it has waited for a thread since its signature was verified: the signer is looked up again.

        Raises UnrecognizedClientException for an access key that is gone by now, or that may not make this call, and
        AccessDeniedException if the signer may not call on behalf of that principal.
        """
        credential, operation = call.credential, call.operation
        if not credential.access_key_id:
            # Verifying a signature makes the snapshot current. There was none to verify.
            self._snapshot.refresh()
        elif may_wait:
            renewed = self.find(credential.access_key_id, call.token, may_wait=True)
            if renewed is None:
                raise UnrecognizedClientException(UNRECOGNIZED)
            credential = renewed
        if operation.service == "iam" and _is_session_of_user_or_root(credential):
            # A stolen access key could otherwise make other access keys for as long as a session lasts (STS API
            # Reference, GetSessionToken).
            raise UnrecognizedClientException(UNRECOGNIZED)
        if call.on_behalf_of is None:
            return credential
        return self._on_behalf_of(credential, operation, call.on_behalf_of, may_wait=may_wait)

    def _on_behalf_of(
        self, credential: Credential, operation: Operation, principal: str, *, may_wait: bool
    ) -> Credential:
        """Return the credential for a call that a trusted service makes on behalf of a principal, named by its ARN.

        Raises AccessDeniedException unless the signer is a service, the call is one to KMS (a service uses keys for
        others; it does not manage them), and the principal exists in some account: a service does not speak for another
        service.
        """
        signer = credential.principal
        found = None
        if signer.kind is PrincipalKind.SERVICE and operation.service == "kms":
            found = self._principals.named(principal, may_wait=may_wait)
        if found is None or not found.principal.account:
            raise AccessDeniedException(f"{signer.arn} may not call on behalf of {principal}")
        return msgspec.structs.replace(found, access_key_id=credential.access_key_id)


def _is_session_of_user_or_root(credential: Credential) -> bool:
    """Tell whether these are temporary credentials of a user or root, rather than of a role."""
    return credential.session is not None and credential.principal.kind is not PrincipalKind.ASSUMED_ROLE
