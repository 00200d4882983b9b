"""Tells whether calls can be answered now."""

from collections.abc import Sequence

import msgspec

from strongroom.errors import KmsError
from strongroom.problems import Problems
from strongroom.service.audit_trail import AuditTrail
from strongroom.store.protocol import Store


class Condition(msgspec.Struct, frozen=True):
    """Whether calls can be answered now.

    ``obstacles`` are the reasons for which they cannot; without any, they can. ``problems`` are what an operator must
    know although they can.
    """

    obstacles: Sequence[str] = ()
    problems: Sequence[str] = ()


class Readiness:
    """Checks the store and the audit log. Waits for the store, so it is not for the event loop."""

    def __init__(self, store: Store, trail: AuditTrail, problems: Problems) -> None:
        self._store = store
        self._trail = trail
        self._problems = problems

    def check(self) -> Condition:
        """Return the present condition of this node."""
        return Condition(self._obstacles(), [each.text for each in self._problems.of_node()])

    def _obstacles(self) -> list[str]:
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
