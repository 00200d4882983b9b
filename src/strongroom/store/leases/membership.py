"""The protocol by which a node joins the others, renews its lease and publishes changes. It does no I/O.

Each method yields requests to the database and receives the replies, so a test can let time pass, lose replies and
reorder them between any two.

What holds (ADR 31): a lease never ends later than its length after a moment at which this node knew every commit up to
then. For a renewal reads the clock, then has the database commit, and reads the generation in the same statement; the
lease runs from that reading of the clock, and is written in one piece with that generation or a newer one.
"""

import logging
from typing import TypeVar

from strongroom import __version__
from strongroom.clock import Clock
from strongroom.entropy import Entropy
from strongroom.store.leases.bounds import checked_lease, over_everywhere
from strongroom.store.leases.generation import Generation
from strongroom.store.leases.page import INCARNATION_BYTES, RING_ENTRIES, PageWriter
from strongroom.store.leases.requests import (
    About,
    Acknowledge,
    FindMember,
    FoundChanges,
    Join,
    Leave,
    Member,
    ReadChanges,
    Renew,
    Reply,
    Steps,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Membership:
    """One node among those that share a database. ``lease`` is in seconds. Not safe to use from several threads."""

    def __init__(
        self,
        node: str,
        lease: float,
        page: PageWriter,
        clock: Clock,
        entropy: Entropy,
        about: About | None = None,
    ) -> None:
        """Begin without a lease, on the node's page. Raises ValueError for a lease that is too short or too long.

        ``about`` is what the node says of itself.
        """
        self._node = node
        self._lease = checked_lease(lease)
        self._about = About(__version__) if about is None else about
        self._page = page
        self._clock = clock
        self._entropy = entropy
        # Whose leases can only be on this page, where they have ended.
        self._own = set() if page.incarnation is None else {page.incarnation}
        self._incarnation: bytes | None = None
        self._is_proven = False
        self._acknowledged = -1
        # A row of this node that another process wrote, and since when it has been as it is.
        self._other: tuple[Member, float] | None = None
        self._told_of: bytes | None = None
        self.joins = 0
        self.renewals = 0
        self.resets = 0
        """How often everything had to be forgotten."""

    @property
    def is_member(self) -> bool:
        """Whether this node has joined, as far as it knows."""
        return self._incarnation is not None

    @property
    def waits_for_other(self) -> bool:
        """Whether another process may serve under the name of this node, so that this one has not joined."""
        return self._incarnation is None and self._other is not None

    @property
    def lease_left(self) -> float:
        """For how many seconds the lease runs; negative if it has ended."""
        return self._page.head.lease_end - self._clock.uptime()

    @property
    def generation(self) -> Generation:
        """What is published."""
        return self._page.head.generation

    def change_lease(self, lease: float) -> None:
        """Have leases of another length, from the next renewal on; raises ValueError as the constructor does.

        The node joins anew for that: others go by the length in its row, and must not know another one while a lease
        runs.
        """
        self._lease = checked_lease(lease)
        self.end_lease()

    def end_lease(self) -> None:
        """End the lease now. The next renewal joins anew, under another incarnation."""
        self._page.end_lease()
        self._incarnation = None

    def connected(self) -> None:
        """Note that requests go to another connection: publish nothing from it before a commit has succeeded there.

        The acknowledgement is made again, because a failover may have lost it.
        """
        self._is_proven = False
        self._acknowledged = -1

    def renew(self) -> Steps:
        """Join if necessary, extend the lease, publish what is new and acknowledge it."""
        if self._incarnation is None:
            yield from self._join()
        if self._incarnation is None:
            return
        began = self._clock.uptime()
        generation = _expect(Generation, (yield Renew(self._node, self._incarnation)))
        if generation is None:
            logger.warning("this node's lease ended and others went on without it: it joins them again")
            self._page.end_lease()
            self._incarnation = None
            return
        self._is_proven = True
        self.renewals += 1
        lease_end = began + self._lease
        if generation == self._page.head.generation and not self._page.is_new_history:
            self._page.extend(lease_end)
            yield from self._acknowledge(self._incarnation)
        else:
            yield from self._publish(self._incarnation, lease_end)

    def publish(self) -> Steps:
        """Publish what is new and acknowledge it, if a commit has succeeded on this connection."""
        if self._incarnation is not None and self._is_proven:
            yield from self._publish(self._incarnation, None)

    def leave(self) -> Steps:
        """End the lease, and have others wait for this node no longer."""
        self._page.end_lease()
        if self._incarnation is not None:
            incarnation, self._incarnation = self._incarnation, None
            yield Leave(self._node, incarnation)

    def _join(self) -> Steps:
        """Become a member under a new incarnation. A row that this page does not know has to end first.

        Such a row may belong to a copy of this node that serves elsewhere, or to processes that still have a page open
        which was removed. Its lease has ended once it has not been renewed for as long.
        """
        self._page.end_lease()
        found = _expect(Member, (yield FindMember(self._node)))
        if found is not None and found.incarnation not in self._own and not self._has_ended(found):
            return
        incarnation = self._entropy(INCARNATION_BYTES)
        # Before the commit, whose outcome may stay unknown.
        self._page.record_incarnation(incarnation)
        self._own.add(incarnation)
        if (yield Join(self._node, incarnation, self._lease, self._about, found)):
            self._incarnation = incarnation
            self._acknowledged = -1
            self.joins += 1

    def _has_ended(self, found: Member) -> bool:
        now = self._clock.uptime()
        if self._other is None or self._other[0] != found:
            is_alive = self._other is not None and self._other[0].incarnation == found.incarnation
            if is_alive and self._told_of != found.incarnation:
                self._told_of = found.incarnation
                logger.error(
                    "another process serves as node %s: every data folder needs a node id of its own", found.node
                )
            self._other = found, now
            return False
        return now - self._other[1] >= over_everywhere(found.lease)

    def _publish(self, incarnation: bytes, lease_end: float | None) -> Steps:
        page = self._page
        known = page.head.generation
        found = _expect(FoundChanges, (yield ReadChanges(known.number, RING_ENTRIES)))
        if found is None:
            raise TypeError
        if page.is_new_history or not _continues(known, found):
            self.resets += 1
            page.forget_everything(found.generation, lease_end)
        elif found.generation != known or lease_end is not None:
            page.publish(found.generation, found.changes[1:], lease_end)
        yield from self._acknowledge(incarnation)

    def _acknowledge(self, incarnation: bytes) -> Steps:
        number = self._page.head.generation.number
        if self._acknowledged != number and (yield Acknowledge(self._node, incarnation, number)):
            self._acknowledged = number


def _continues(known: Generation, found: FoundChanges) -> bool:
    """Tell whether the changes that were found begin with the known generation, and lead from it to the one found."""
    if found.generation == known:
        return True
    changes = found.changes
    if not changes or Generation(changes[0].sequence, changes[0].tag) != known:
        return False
    last = Generation(changes[-1].sequence, changes[-1].tag)
    return last == found.generation and last.number - known.number == len(changes) - 1


def _expect(kind: type[T], reply: Reply) -> T | None:
    """Return a reply; raises TypeError unless it is of this type or None."""
    if reply is None or isinstance(reply, kind):
        return reply
    raise TypeError(reply)
