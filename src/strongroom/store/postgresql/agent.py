"""The agent of a node: it keeps the node's lease, and publishes what others have committed."""

import logging
import os
import select

import psycopg

from strongroom.clock import Clock
from strongroom.store.leases.bounds import RENEWALS
from strongroom.store.leases.membership import Membership
from strongroom.store.postgresql.member_connection import Connect, MemberConnection

logger = logging.getLogger(__name__)

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0


class Agent:
    """Runs the protocol of one node until it is stopped. ``lease`` and ``poll`` are in seconds.

    Notifications tell it of commits. Without them it looks every ``poll`` seconds, where that is given; and a renewal
    finds what was missed.
    """

    def __init__(
        self, membership: Membership, connect: Connect, clock: Clock, lease: float, *, poll: float | None = None
    ) -> None:
        self._membership = membership
        self._connect = connect
        self._clock = clock
        self._interval = lease / RENEWALS
        self._poll = poll
        self._wake, self._stop = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._is_stopping = False
        self._next_renewal = 0.0
        self.connections = 0
        self.failures = 0
        """How often the connection was lost or could not be made."""

    def stop(self) -> None:
        """Have ``run`` leave and return. May be called by a signal handler, or by another thread."""
        self._is_stopping = True
        os.write(self._stop, b"\0")

    def close(self) -> None:
        """Close what ``stop`` writes to, after ``run`` has returned."""
        os.close(self._wake)
        os.close(self._stop)

    def run(self) -> None:
        """Keep the lease, connecting again whenever the connection is lost."""
        pause = _FIRST_PAUSE
        while not self._is_stopping:
            began = self._clock.uptime()
            try:
                self._run_connected()
            except psycopg.Error as error:
                self.failures += 1
                logger.warning("the agent has no connection to the database: %s", str(error).strip())
            lasted = self._clock.uptime() - began
            pause = _FIRST_PAUSE if lasted > _LONGEST_PAUSE else min(2 * pause, _LONGEST_PAUSE, self._interval)
            if not self._is_stopping:
                select.select([self._wake], [], [], pause)

    def _run_connected(self) -> None:
        connection = self._connect()
        try:
            self.connections += 1
            self._membership.connected()
            if self._poll is None:
                connection.listen()
            self._next_renewal = 0.0
            while not self._is_stopping:
                self._step(connection)
            connection.run(self._membership.leave())
        finally:
            connection.close()

    def _step(self, connection: MemberConnection) -> None:
        """Renew the lease if it is time, and wait for the next commit or renewal."""
        now = self._clock.uptime()
        if now >= self._next_renewal:
            connection.run(self._membership.renew())
            if self._membership.is_member or self._membership.waits_for_other:
                self._next_renewal = now + self._interval
            return
        longest = self._next_renewal - now
        if self._poll is not None:
            longest = min(longest, self._poll)
        if connection.wait(longest, self._wake) or self._poll is not None:
            connection.run(self._membership.publish())
