"""Tells whether calls can be answered now."""

from collections.abc import Sequence

import msgspec

from strongroom.entropy import CheckedEntropy
from strongroom.errors import KmsError
from strongroom.problems import Problems, Subject
from strongroom.service.audit_trail import AuditTrail
from strongroom.service.write_probe import WriteProbe
from strongroom.store.leases.view import LeaseEnded
from strongroom.store.protocol import Store


class Condition(msgspec.Struct, frozen=True):
    """Whether calls can be answered now.

    ``obstacles`` are the reasons for which they cannot; without any, they can. ``problems`` are what an operator must
    know although they can.
    """

    obstacles: Sequence[str] = ()
    problems: Sequence[str] = ()


class Readiness:
    """Checks the store and the audit log. Waits for the store, so it is not for the event loop.

    A store that can be read and not written is a problem and no obstacle: calls that use keys are answered, and no
    other node could answer them instead.
    """

    def __init__(
        self, store: Store, trail: AuditTrail, problems: Problems, writes: WriteProbe, entropy: CheckedEntropy
    ) -> None:
        self._store = store
        self._trail = trail
        self._problems = problems
        self._writes = writes
        self._entropy = entropy

    def check(self) -> Condition:
        """Return the present condition of this node."""
        obstacles = self._obstacles()
        # To renew a lease is a write. If it fails, others would, and it would take long to find that out.
        cannot_write = any(each.subject is Subject.LEASE for each in self._problems.of_node())
        unwritable = None if obstacles or cannot_write else self._writes.failure()
        # After that: a write that succeeds ends the problem of those that have failed.
        problems = [each.text for each in self._problems.of_node()]
        return Condition(obstacles, problems if unwritable is None else [*problems, unwritable])

    def _obstacles(self) -> list[str]:
        found = []
        try:
            self._store.require_answers()
        except LeaseEnded:
            # Why the agent does not renew it is one of the problems.
            found.append("this node has no lease on the database that nodes share")
        except KmsError as error:
            found.append(f"the key store does not answer ({error.message})")
        if (unrecorded := self._trail.obstacle()) is not None:
            found.append(unrecorded)
        if self._entropy.failed:
            found.append("the random number generator of the system has repeated itself")
        return found
