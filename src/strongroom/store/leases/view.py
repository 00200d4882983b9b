"""What a worker knows of the database: whether its caches may still be used, and what they have to forget."""

from collections.abc import Callable
from threading import Lock

import msgspec

from strongroom.errors import DependencyTimeoutException
from strongroom.store.leases.bounds import READ_PATIENCE
from strongroom.store.leases.generation import Generation
from strongroom.store.leases.page import RING_ENTRIES, Head, PageReader, known_change
from strongroom.store.records import Change, Changes


class LeaseEnded(DependencyTimeoutException):
    """This node has no lease: it has not reached the database for so long that it may not serve what it remembers."""

    code = DependencyTimeoutException.code
    status = DependencyTimeoutException.status

    def __init__(self) -> None:
        super().__init__("This node of the service is cut off from the key store. Try again.")


class OutdatedRead(DependencyTimeoutException):
    """A read of the database came from no current primary, or from another history. Its connection must be closed."""

    code = DependencyTimeoutException.code
    status = DependencyTimeoutException.status

    def __init__(self) -> None:
        super().__init__("The key store answered with an older state. Try again.")


class Fill(msgspec.Struct, frozen=True):
    """What was published when a read began whose result is to be cached."""

    generation: Generation
    forgets: int


class View:
    """The page, as one cache of the database uses it. Safe to use from several threads.

    ``uptime`` is ``Clock.uptime`` and ``pause`` sleeps for some seconds.
    """

    def __init__(self, page: PageReader, uptime: Callable[[], float], pause: Callable[[float], None]) -> None:
        self._head = page.head
        self._entry = page.entry
        self._uptime = uptime
        self._pause = pause
        self._lock = Lock()
        self._forgets = -1
        self.outdated_reads = 0
        """How often ``check_fill`` has refused a read."""

    @property
    def lease_left(self) -> float:
        """For how many seconds the lease runs; 0 without one."""
        return max(0.0, self._head().lease_end - self._uptime())

    def version(self) -> bytes:
        """Return bytes that differ from those of the last call if a change has been published in between.

        Raises LeaseEnded if the node has no lease now. It takes less than a microsecond.
        """
        head = self._head()
        # In this order: a process that is stopped between the two lines finds that its lease has ended.
        if self._uptime() >= head.lease_end:
            raise LeaseEnded
        return head.version

    def wait_for_lease(self, longest: float) -> None:
        """Wait until the node has a lease, for ``longest`` seconds at most; raises LeaseEnded. For threads that may."""
        deadline = self._uptime() + longest
        while True:
            now = self._uptime()
            if now < self._head().lease_end:
                return
            if now >= deadline:
                raise LeaseEnded
            self._pause(min(0.005, deadline - now))

    def changes(self, after: int) -> Changes:
        """Return the changes after a number, as ``Store.changes`` does; they are not complete if all must be forgotten.

        They are complete only for the cache that has forgotten everything when the last answer was not.
        """
        with self._lock:
            head = self._head()
            entries = None if head.forgets != self._forgets else self._entries(after, head)
            self._forgets = head.forgets
        return Changes(entries=entries or [], last=head.generation.number, complete=entries is not None)

    def begin_fill(self) -> Fill:
        """Note what is published, before a read of the database whose result is to be cached."""
        head = self._head()
        return Fill(head.generation, head.forgets)

    def is_behind(self, seen: Generation) -> bool:
        """Tell whether a read has seen more than is published, so that it has to wait for the agent."""
        return seen.number > self._head().generation.number

    def check_fill(self, fill: Fill, seen: Generation, longest: float = READ_PATIENCE) -> None:
        """Raise OutdatedRead unless a read, which saw the generation ``seen`` in the same snapshot, may be used.

        It may not if it is older than what was published when it began: then the database that answered is not the
        current primary. If it is newer, this waits until the agent has published that, ``longest`` seconds at most,
        and compares the tags: a server whose history has gone another way is not the current primary either.
        """
        deadline = self._uptime() + longest
        head = self._head()
        while seen.number > head.generation.number and head.forgets == fill.forgets and self._uptime() < deadline:
            self._pause(0.001)
            head = self._head()
        is_published = seen.number <= head.generation.number
        if head.forgets != fill.forgets or not is_published or not self._is_of_this_history(head, fill, seen):
            self.outdated_reads += 1
            raise OutdatedRead

    def _is_of_this_history(self, head: Head, fill: Fill, seen: Generation) -> bool:
        if seen.number <= fill.generation.number:
            return seen == fill.generation
        if seen.number == head.generation.number:
            return seen == head.generation
        entry = self._entry(seen.number, head.forgets)
        return entry is not None and entry.tag == seen.tag

    def _entries(self, after: int, head: Head) -> list[Change] | None:
        """Return all changes after ``after`` up to what is published; None if the ring does not have them all."""
        last = head.generation.number
        if not 0 <= last - after <= RING_ENTRIES:
            return None
        entries = []
        for sequence in range(after + 1, last + 1):
            found = self._entry(sequence, head.forgets)
            change = None if found is None else known_change(found)
            if change is None:
                return None
            entries.append(change)
        return entries
