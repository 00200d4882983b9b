"""The agent of a node: it keeps the node's lease, and publishes what others have committed."""

import logging
import os
from contextlib import suppress

import psycopg

from strongroom.clock import Clock
from strongroom.descriptors import readable
from strongroom.problems import Problems, Subject
from strongroom.store.counters import AgentCounters
from strongroom.store.leases.bounds import LONGEST_POLL, RENEWALS
from strongroom.store.leases.membership import Membership
from strongroom.store.postgresql.faults import fault_of_postgresql
from strongroom.store.postgresql.member_connection import Connect, GenerationLost, MemberConnection

logger = logging.getLogger(__name__)

NOT_ENDED = "the database does not answer, so changes of other nodes wait for the lease of this one to end"
"""What a stop says that could not tell the others."""

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0
_MAX_READ = 4096


class Agent:
    """Runs the protocol of one node until it is stopped. ``lease`` and ``poll`` are in seconds.

    Notifications tell it of commits. It also looks every ``LONGEST_POLL`` seconds, because one may get lost. With
    ``poll`` it asks for none, and looks every so many seconds. ``problems`` takes why the lease cannot be renewed.
    """

    def __init__(
        self,
        membership: Membership,
        connect: Connect,
        clock: Clock,
        lease: float,
        *,
        poll: float | None = None,
        problems: Problems | None = None,
    ) -> None:
        self._membership = membership
        self._connect = connect
        self._clock = clock
        self._lease = self._wanted_lease = lease
        self._poll = poll
        self._problems = problems or Problems()
        self._wake, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._is_stopping = False
        self._next_renewal = 0.0
        self._looked_at = 0.0
        """The uptime at which it began to look for changes last."""
        self.counters = AgentCounters()
        self.progressed_at = clock.timer()
        """When it began its last step, in seconds of ``Clock.timer``. Each step has a limit, so another comes soon."""

    def stop(self) -> None:
        """Have ``run`` leave and return. May be called by a signal handler, or by another thread."""
        self._is_stopping = True
        self._wake_up()

    def change_lease(self, lease: float) -> None:
        """Have leases of another length, in seconds, from now on. May be called by another thread."""
        self._wanted_lease = lease
        self._wake_up()

    def close(self) -> None:
        """Close what ``stop`` writes to, after ``run`` has returned."""
        os.close(self._wake)
        os.close(self._waker)

    def run(self) -> None:
        """Keep the lease, connecting again whenever the connection is lost."""
        pause = _FIRST_PAUSE
        try:
            while not self._is_stopping:
                began = self._clock.uptime()
                try:
                    self._run_connected()
                except psycopg.Error as error:
                    self._note_failure(error)
                lasted = self._clock.uptime() - began
                longest = min(_LONGEST_PAUSE, self._lease / RENEWALS)
                pause = _FIRST_PAUSE if lasted > _LONGEST_PAUSE else min(2 * pause, longest)
                if not self._is_stopping:
                    self._progress()
                    readable([self._wake], pause)
                    self._drain()
        finally:
            self._membership.end_lease()

    def _run_connected(self) -> None:
        self._progress()
        connection = self._connect()
        try:
            self.counters.connections += 1
            self._membership.connected()
            if self._poll is None:
                connection.listen()
            self._take_on_lease()
            self._next_renewal = 0.0
            # Its deadlines follow from the lease.
            while not self._is_stopping and self._wanted_lease == self._lease:
                self._progress()
                self._step(connection)
            if self._is_stopping:
                connection.run(self._membership.leave())
        finally:
            connection.close()

    def _take_on_lease(self) -> None:
        if self._wanted_lease != self._lease:
            self._lease = self._wanted_lease
            self._membership.change_lease(self._lease)

    def _step(self, connection: MemberConnection) -> None:
        """Renew the lease if it is time, and wait for the next commit or renewal."""
        now = self._clock.uptime()
        if now >= self._next_renewal:
            self._renew(connection)
            waits = self._membership.is_member or self._membership.waits_for_other
            # Without a lease it joins after a short pause. Where that fails too, it must not ask without one.
            self._next_renewal = now + (self._lease / RENEWALS if waits else _FIRST_PAUSE)
            return
        next_look = self._looked_at + (LONGEST_POLL if self._poll is None else self._poll)
        notified = connection.wait(min(self._next_renewal, next_look) - now, self._wake)
        self._drain()
        if notified or self._clock.uptime() >= next_look:
            self._publishing(connection)

    def _renew(self, connection: MemberConnection) -> None:
        membership, counters = self._membership, self.counters
        before, began = membership.renewals, self._clock.timer()
        published = membership.generation.number
        self._looked_at = self._clock.uptime()
        connection.run(membership.renew())
        counters.note_published(published, membership.generation.number)
        counters.joins, counters.resets = membership.joins, membership.resets
        if membership.renewals > before:
            counters.note_renewal("renewed", self._clock.timer() - began)
            counters.members = sum(not each.is_deleted for each in connection.members().members)
            self._problems.resolve(Subject.LEASE)
        elif membership.waits_for_other:
            counters.note_renewal("waiting")
            self._problems.report(
                Subject.LEASE,
                "this node has no lease yet: it waits for the end of the one that another process has in its name, an "
                "earlier start or a server with a copy of its data folder",
            )
        else:
            counters.note_renewal("removed")

    def _publishing(self, connection: MemberConnection) -> None:
        published = self._membership.generation.number
        self._looked_at = self._clock.uptime()
        connection.run(self._membership.publish())
        self.counters.note_published(published, self._membership.generation.number)

    def _note_failure(self, error: psycopg.Error) -> None:
        """Say that the lease is not renewed now, once: it is tried again soon."""
        fault = fault_of_postgresql(error, writing=True)
        # Its text has no values of rows.
        has_words = fault is None or isinstance(error, GenerationLost)
        reason = " ".join(str(error).split()) if has_words or fault is None else fault.reason
        self.counters.note_renewal("failed")
        if fault is not None:
            self.counters.count_fault(fault.kind)
        if self._is_stopping:
            logger.warning("%s: %s", NOT_ENDED, reason)
        elif self._membership.lease_left > 0:
            self._problems.report(Subject.LEASE, f"the lease of this node cannot be renewed: {reason}")
        else:
            self._problems.report(Subject.LEASE, f"this node has no lease, and refuses calls: {reason}")

    def _progress(self) -> None:
        self.progressed_at = self._clock.timer()

    def _wake_up(self) -> None:
        # A full pipe wakes up as well.
        with suppress(BlockingIOError):
            os.write(self._waker, b"\0")

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._wake, _MAX_READ)
