"""When a change may be answered: once no node can serve what was before it. It does no I/O.

A node that has acknowledged a number serves nothing older. A node that has not can do so only until its lease ends,
and leases that were renewed after the commit know it already. So a change is settled when every member has
acknowledged it, or the longest lease of those that have not is over, counted from a moment after the commit. A member
that was not renewed in as long has no lease, and is removed so that the next change does not wait for it.
"""

from collections.abc import Callable, Sequence

import msgspec

from strongroom.histogram import Histogram
from strongroom.store.leases.bounds import LONGEST_LEASE, over_everywhere
from strongroom.store.leases.requests import FoundMembers, Member

Done = Callable[[], None]

_DURATIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Upper bounds in seconds, up to the longest lease."""


class _Waiting(msgspec.Struct, frozen=True):
    number: int
    committed_at: float
    done: Done
    lost: Done | None


class _Suspect(msgspec.Struct, frozen=True):
    """A member that has not acknowledged a number, and since when its row has not been renewed."""

    member: Member
    since: float


class Settlement:
    """The changes of one process that wait for the other nodes. Times are in seconds of ``Clock.uptime``.

    Not safe to use from several threads.
    """

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []
        # The lowest and the highest number that waits, and when the first was committed. So a look that settles nothing
        # costs the same however many wait.
        self._lowest = self._highest = 0
        self._oldest = 0.0
        self._suspects: dict[tuple[str, bytes], _Suspect] = {}
        self._newest = 0
        self.durations = Histogram(_DURATIONS)
        """How long settled changes had waited."""
        self.waited_out = 0
        """How many changes were answered because a lease had ended, not because all had acknowledged them."""

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to look for."""
        return not self._waiting and not self._suspects

    @property
    def waiting(self) -> int:
        """How many changes wait."""
        return len(self._waiting)

    def add(self, number: int, committed_at: float, done: Done, lost: Done | None = None) -> None:
        """Have ``done`` called when a commit is settled. ``committed_at`` is read after the commit has returned.

        ``lost`` is called instead if the database has lost it; without that, ``done`` is, once every lease has ended.
        """
        if self._waiting:
            self._lowest, self._highest = min(self._lowest, number), max(self._highest, number)
            self._oldest = min(self._oldest, committed_at)
        else:
            self._lowest, self._highest, self._oldest = number, number, committed_at
        self._waiting.append(_Waiting(number, committed_at, done, lost))
        self._newest = max(self._newest, number)

    def observe(self, found: FoundMembers, read_at: float) -> tuple[list[Done], list[Member]]:
        """Return what is settled, and the members to remove if they are still as they were found.

        The clock has to be read, for ``read_at``, after the members. A commit that the server which found them does not
        know is not settled by them: a former primary would not know a node that joined since.
        """
        members = found.members
        removals = self._suspect(found, read_at)
        if not self._may_settle(found, read_at):
            return [], removals
        settled: list[_Waiting] = []
        waiting: list[_Waiting] = []
        for each in self._waiting:
            if each.number > found.number:
                waiting.append(each)
                continue
            leases = [member.lease for member in members if member.acked < each.number]
            is_over = not leases or read_at >= each.committed_at + over_everywhere(max(leases))
            self.waited_out += bool(is_over and leases)
            (settled if is_over else waiting).append(each)
        self._keep(waiting)
        return self._done(settled, read_at), removals

    def is_ahead_of(self, found: FoundMembers) -> bool:
        """Whether a change waits that the server which found the members does not know."""
        return bool(self._waiting) and self._highest > found.number

    def lose(self, found: FoundMembers) -> list[Done]:
        """Return what tells of the changes that the server which found the members does not know.

        That server must have committed after they were: then it is the primary, and they are lost, or it is another
        database than the one that they were made in.
        """
        lost: list[Done] = []
        waiting: list[_Waiting] = []
        for each in self._waiting:
            if each.number > found.number and each.lost is not None:
                lost.append(each.lost)
            else:
                waiting.append(each)
        self._keep(waiting)
        return lost

    def expire(self, now: float) -> list[Done]:
        """Return what is settled by time alone, where the members cannot be read."""
        bound = over_everywhere(LONGEST_LEASE)
        if self._waiting and now < self._oldest + bound:
            return []
        settled = [each for each in self._waiting if now >= each.committed_at + bound]
        self._keep([each for each in self._waiting if now < each.committed_at + bound])
        self.waited_out += len(settled)
        if not self._waiting:
            # What cannot be read cannot be removed either. The next change will find it.
            self._suspects.clear()
        return self._done(settled, now)

    def _may_settle(self, found: FoundMembers, read_at: float) -> bool:
        """Tell whether any change may be settled by what was found; False only if none is."""
        if not self._waiting:
            return False
        if min([found.number, *(member.acked for member in found.members)]) >= self._lowest:
            return True
        leases = [member.lease for member in found.members if member.acked < self._highest]
        return bool(leases) and read_at >= self._oldest + over_everywhere(min(leases))

    def _keep(self, waiting: list[_Waiting]) -> None:
        """Have these changes wait."""
        self._waiting = waiting
        if waiting:
            self._lowest = min(each.number for each in waiting)
            self._highest = max(each.number for each in waiting)
            self._oldest = min(each.committed_at for each in waiting)

    def _done(self, settled: Sequence[_Waiting], now: float) -> list[Done]:
        for each in settled:
            self.durations.note(now - each.committed_at)
        return [each.done for each in settled]

    def _suspect(self, found: FoundMembers, read_at: float) -> list[Member]:
        suspects = {}
        removals = []
        # After the database was set back, no node acknowledges what the database does not know any more.
        newest = min(self._newest, found.number)
        for member in found.members:
            if member.acked >= newest:
                continue
            name = member.node, member.incarnation
            known = self._suspects.get(name)
            if known is None or known.member.renewed != member.renewed:
                known = _Suspect(member, read_at)
            if read_at - known.since >= over_everywhere(member.lease):
                removals.append(member)
            suspects[name] = known
        self._suspects = suspects
        return removals
