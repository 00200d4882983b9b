"""Tells whether calls can be answered now."""

from strongroom.errors import KmsError
from strongroom.service.audit_trail import AuditTrail
from strongroom.store.protocol import Store


class Readiness:
    """Checks the store and the audit log. Waits for the store, so it is not for the event loop."""

    def __init__(self, store: Store, trail: AuditTrail) -> None:
        self._store = store
        self._trail = trail

    def obstacles(self) -> list[str]:
        """Return the reasons for which calls cannot be answered now; none if they can."""
        found = []
        try:
            self._store.version()
            with self._store.read() as reader:
                reader.domain_keys()
        except KmsError:
            found.append("the key store does not answer")
        if not self._trail.writable():
            found.append("the audit log cannot be written")
        return found
