"""Changes that the service makes to keys by itself, recorded in the audit log before they are made."""

from functools import partial

from strongroom.keys.arns import KeyLocator
from strongroom.operations.context import Backends
from strongroom.operations.kms.key_changes import NO_CHANGES, Plan, change_keys_recorded, scope_of
from strongroom.operations.kms.prepared_material import PreparedMaterial
from strongroom.service.audit_trail import AuditTrail
from strongroom.store.scopes import AccountScope


class ServiceChanges:
    """Makes changes of keys together with their audit records."""

    def __init__(self, backends: Backends, trail: AuditTrail) -> None:
        self._backends = backends
        self._trail = trail

    def make(self, locator: KeyLocator, plan: Plan, now: float) -> bool:
        """Make a plan's changes of a key and its relatives; return whether there were any.

        Raises KMSInternalException, before anything is changed, if the audit log cannot be written.
        """
        # A deletion changes the number of the account's keys, so it needs the account's scope.
        scopes = (scope_of(locator), AccountScope(locator.account))
        backends, record = self._backends, partial(self._trail.planned, now=now)
        with PreparedMaterial(backends.key_backends, backends.entropy, backends.events) as prepared:
            return change_keys_recorded(backends.store, prepared, plan, record, *scopes) != NO_CHANGES
