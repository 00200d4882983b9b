"""Changes that the service makes to keys by itself, recorded in the audit log before they are made."""

from strongroom.audit.sink import AuditSink
from strongroom.errors import KMSInternalException
from strongroom.keys.arns import KeyLocator
from strongroom.operations.context import Backends
from strongroom.operations.kms.key_changes import NO_CHANGES, Plan, PlannedEvent, change_keys_recorded, scope_of
from strongroom.operations.kms.prepared_material import PreparedMaterial
from strongroom.service.audit_trail import AuditTrail
from strongroom.store.scopes import AccountScope


class ServiceChanges:
    """Makes changes of keys together with their audit records."""

    def __init__(self, backends: Backends, trail: AuditTrail, log: AuditSink) -> None:
        self._backends = backends
        self._trail = trail
        self._log = log

    def make(self, locator: KeyLocator, plan: Plan, now: float) -> bool:
        """Make a plan's changes of a key and its relatives; return whether there were any.

        Raises KMSInternalException, before anything is changed, if the audit log cannot be written.
        """

        def record(events: tuple[PlannedEvent, ...]) -> None:
            self._record(events, now)

        # A deletion changes the number of the account's keys, so it needs the account's scope.
        scopes = (scope_of(locator), AccountScope(locator.account))
        backends = self._backends
        with PreparedMaterial(backends.key_backends, backends.entropy, backends.events) as prepared:
            return change_keys_recorded(backends.store, prepared, plan, record, *scopes) != NO_CHANGES

    def _record(self, events: tuple[PlannedEvent, ...], now: float) -> None:
        if not self._log.writable():
            raise KMSInternalException
        for event in events:
            if event.synchronized:
                self._trail.synchronized(event.locator, now, event.occasion)
            self._trail.event(event.name, event.locator, event.details, now, event.occasion)
        self._log.flush()
