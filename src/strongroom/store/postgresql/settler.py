"""Waits, for all threads of a process, until what they have committed is settled on every node."""

import logging
import math
import threading
from functools import partial

import psycopg

from strongroom.clock import Clock
from strongroom.histogram import Histogram
from strongroom.store.leases.settlement import Done, Settlement
from strongroom.store.postgresql.member_connection import Connect, MemberConnection
from strongroom.store.unsettled import ChangeLost, NotSettled

logger = logging.getLogger(__name__)

ANNOUNCED_WITHIN = 0.025
"""How long a commit that no answer waits for may go unannounced, seconds: those of that time share a notification."""

_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.025
_IDLE_PAUSE = 0.25
"""Between looks for members to remove, when no change waits."""
_GROWTH = 1.5
_PROVE_AFTER = 1.0
"""How long, in seconds, servers that do not know a change are asked again before one has to prove what it is."""


class Settler:
    """A thread with a connection of its own, so that no caller has to wait on a thread. Safe to use from several.

    What ``announce`` is told of, the nodes are told of within ``announced_within`` seconds.
    """

    def __init__(self, connect: Connect, clock: Clock, announced_within: float = ANNOUNCED_WITHIN) -> None:
        self._connect = connect
        self._clock = clock
        self._announced_within = announced_within
        self._settlement = Settlement()
        self._changed = threading.Condition()
        self._told = threading.Condition()
        self._added: list[tuple[int, float, Done, Done | None]] = []
        self._given_up_at = math.inf
        self._ahead_since: float | None = None
        """Since when, in seconds of ``Clock.uptime``, all servers that were asked do not know a change that waits."""
        self._news_due = math.inf
        """When the nodes have to be told of commits, in seconds of ``Clock.uptime``."""
        self._is_closed = False
        self._connection: MemberConnection | None = None
        self.failures = 0
        """How often the members could not be read."""
        self._warned = ""
        """What was logged last, since the members were read last."""
        self._thread = threading.Thread(target=self._run, name="settler", daemon=True)
        self._thread.start()

    @property
    def waited_out(self) -> int:
        """How many changes were answered because a lease had ended, not because all nodes had acknowledged them."""
        return self._settlement.waited_out

    @property
    def unsettled(self) -> int:
        """How many changes wait."""
        return self._settlement.waiting + len(self._added)

    @property
    def durations(self) -> Histogram:
        """How long settled changes had waited, in seconds."""
        return self._settlement.durations

    def when_settled(self, number: int, done: Done, lost: Done | None = None) -> None:
        """Call ``done`` once no node serves what was before the commit of this number, which has returned.

        It is called on the thread of the settler, which it must not hold up. It is called even if the database cannot
        be reached: by then every lease has ended. ``lost`` is called instead if the database has lost the commit.
        """
        committed_at = self._clock.uptime()
        with self._changed:
            self._added.append((number, committed_at, done, lost))
            self._changed.notify()

    def announce(self) -> None:
        """Tell the nodes soon that there is a commit. No answer waits for them: nothing they know is wrong after it.

        If that fails, they find it when they look next.
        """
        self._announce_by(self._clock.uptime() + self._announced_within)

    def hasten(self) -> None:
        """Tell the nodes at once that there is a commit, of this process or of another one: a read waits for it."""
        self._announce_by(0.0)

    def _announce_by(self, due: float) -> None:
        with self._changed:
            if due < self._news_due:
                self._news_due = due
                self._changed.notify()

    def settle(self, number: int) -> None:
        """Wait until no node serves what was before the commit of this number, which has returned.

        Raises ChangeLost if the database does not know it any more, and NotSettled where ``hurry`` limits the wait.
        """
        outcomes: list[bool] = []

        def tell(*, is_lost: bool) -> None:
            with self._told:
                outcomes.append(is_lost)
                self._told.notify_all()

        self.when_settled(number, partial(tell, is_lost=False), partial(tell, is_lost=True))
        with self._told:
            while not outcomes and (left := self._given_up_at - self._clock.uptime()) > 0:
                self._told.wait(None if left == math.inf else left)
        if not outcomes:
            raise NotSettled
        if outcomes[0]:
            raise ChangeLost

    def hurry(self, limit: float) -> None:
        """Have ``settle`` wait for ``limit`` seconds at most from now on, also where it waits already."""
        with self._told:
            self._given_up_at = min(self._given_up_at, self._clock.uptime() + limit)
            self._told.notify_all()

    def close(self) -> None:
        """End the thread. What waits is not called any more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            with self._changed:
                wait = self._wait(pause)
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                added, self._added = self._added, []
                has_news = bool(added) or self._news_due <= self._clock.uptime()
                if has_news:
                    self._news_due = math.inf
                if self._is_closed:
                    break
            for each in added:
                self._settlement.add(*each)
            pause = _FIRST_PAUSE if added else min(pause * _GROWTH, _LONGEST_PAUSE)
            for done in self._look(notify=has_news):
                _call(done)
        self._disconnect()

    def _wait(self, pause: float) -> float | None:
        """Return how long to wait at most, after a ``pause`` if changes wait; None if there is nothing to wait for."""
        if self._added or self._is_closed:
            return 0.0
        until_news = max(0.0, self._news_due - self._clock.uptime())
        if self._settlement.waiting:
            return min(pause, until_news)
        wait = until_news if self._settlement.is_idle else min(_IDLE_PAUSE, until_news)
        return None if wait == math.inf else wait

    def _look(self, *, notify: bool) -> list[Done]:
        """Return what is settled by now, after telling the nodes of new commits if there are any to ``notify`` of."""
        if self._settlement.is_idle and not notify:
            return []
        try:
            connection = self._connected(notify=notify)
            if self._settlement.is_idle:
                return []
            found = connection.members()
            settled, removals = self._settlement.observe(found, self._clock.uptime())
        except Exception as error:  # noqa: BLE001 - without this thread, no change would be answered any more
            self._fail(error)
            return self._settlement.expire(self._clock.uptime())
        if self._settlement.is_ahead_of(found):
            return settled + self._ask_another(connection)
        self._warned, self._ahead_since = "", None
        try:
            for member in removals:
                why = "has lost its row in the table `member`" if member.is_deleted else "has not renewed its lease"
                logger.warning("node %s %s, and is not waited for any more", member.node, why)
                connection.remove(member)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)
        return settled

    def _ask_another(self, connection: MemberConnection) -> list[Done]:
        """Leave a server that does not know a change that waits; return what is settled, or lost, by now.

        In a failover the next one knows it. If none does, and one is the primary, the change is lost.
        """
        now = self._clock.uptime()
        since = self._ahead_since = self._ahead_since or now
        told: list[Done] = []
        try:
            if now - since >= _PROVE_AFTER:
                connection.prove()
                found = connection.members()
                told = self._settlement.lose(found)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)
        if told:
            logger.error(
                "%d changes that were committed are not in the database that this node's lease is of: it was rolled "
                "back, or `store` and `store-direct` lead to different databases",
                len(told),
            )
        else:
            self._warn("the nodes that have to acknowledge a change were read from a server that does not know it")
        self._disconnect()
        told += self._settlement.expire(self._clock.uptime())
        if not self._settlement.waiting:
            self._ahead_since = None
        return told

    def _connected(self, *, notify: bool) -> MemberConnection:
        """Return the connection, after telling the nodes of what is new: on a new one, what failed may be that."""
        connection = self._connection
        if connection is None:
            connection = self._connection = self._connect()
            notify = True
        if notify:
            connection.notify()
        return connection

    def _fail(self, error: Exception) -> None:
        self.failures += 1
        defect = None if isinstance(error, psycopg.Error) else error
        text = " ".join(str(error).split())
        self._warn(f"the nodes that have to acknowledge a change cannot be read: {text}", defect)
        self._disconnect()

    def _warn(self, message: str, defect: Exception | None = None) -> None:
        """Log what goes wrong, once: while changes wait, it is tried again many times a second."""
        if message != self._warned:
            logger.warning("%s", message, exc_info=defect)
        self._warned = message

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _call(done: Done) -> None:
    """Tell a caller. What goes wrong there must not leave all others waiting."""
    try:
        done()
    except Exception:
        logger.exception("a change is settled, and its caller could not be told")
