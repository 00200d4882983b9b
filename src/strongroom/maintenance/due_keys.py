"""Which keys a duty works on in a round: those of this node's Regions that are due, for a limited time."""

from collections import deque
from collections.abc import Callable, Iterator

import msgspec

from strongroom.keys.arns import KeyLocator
from strongroom.maintenance.duty import Duty, Regions
from strongroom.store.protocol import Readable
from strongroom.trusted_time import Moment

_BATCH = 100
_MOST_POSTPONED = 100_000


class Worked(msgspec.Struct, frozen=True):
    """What a round has left of a duty.

    ``is_left`` tells that its time was over before all keys were tried that were not tried before. ``postponed`` are
    those that were tried, in this round or before, and may still be due.
    """

    is_left: bool
    postponed: list[KeyLocator]

    @property
    def goes_on(self) -> bool:
        """Whether another round soon would try other keys: not if more are postponed than can be remembered."""
        return self.is_left and len(self.postponed) <= _MOST_POSTPONED


class DueKeys:
    """Finds the keys of ``regions`` that are due. ``timer`` counts seconds.

    Keys that stay due although they were tried come last in the next round: they may take long, and must not keep the
    others waiting.
    """

    def __init__(self, store: Readable, regions: Regions, timer: Callable[[], float]) -> None:
        self._store = store
        self._regions = regions
        self._timer = timer
        self._postponed: dict[str, list[KeyLocator]] = {}
        """The keys that were not done, by duty: first those that wait longest to be tried again."""
        self._hurried = False

    def hurry(self) -> None:
        """Begin no work any more: the process is about to end. Any thread may call this."""
        self._hurried = True

    def find(self, duty: Duty, moment: Moment) -> Iterator[KeyLocator]:
        """Yield the keys that are due, read in batches, each key once. Those that stay due do not hide any after them.

        Raises KmsError if they cannot be read.
        """
        seen: set[KeyLocator] = set()
        limit = _BATCH
        while True:
            with self._store.read() as reader:
                found = duty.find(reader, moment, limit, self._regions)
            fresh = [locator for locator in found if locator not in seen]
            seen.update(fresh)
            yield from fresh
            if len(found) < limit:
                return
            # Twice as many as stay due: so that no row is read more than a few times, however many there are.
            limit = _BATCH + 2 * (len(found) - len(fresh))

    def work(self, duty: Duty, moment: Moment, seconds: float, act: Callable[[KeyLocator], bool]) -> Worked:
        """Call ``act``, which tells whether it has done its work, with keys that are due, for so many seconds.

        What is left is for the next round. Raises KmsError if the keys cannot be read.
        """
        end = self._timer() + seconds
        postponed = dict.fromkeys(self._postponed.get(duty.counter, ()))
        waiting = deque(postponed)
        still_due, undone = set[KeyLocator](), list[KeyLocator]()
        tried, is_left = 0, False
        for locator in self.find(duty, moment):
            if locator in postponed:
                still_due.add(locator)
                continue
            if self._is_over(end, tried):
                is_left = True
                break
            tried += 1
            if not act(locator):
                undone.append(locator)
        else:
            waiting = deque(locator for locator in waiting if locator in still_due)
            while waiting and not self._is_over(end, tried):
                tried += 1
                locator = waiting.popleft()
                if not act(locator):
                    undone.append(locator)
        found = [*waiting, *undone]
        self._postponed[duty.counter] = found[:_MOST_POSTPONED]
        return Worked(is_left, found)

    def _is_over(self, end: float, tried: int) -> bool:
        """Tell whether no further key is tried in this round; one is, also if finding it took all of the time."""
        return self._hurried or (tried > 0 and self._timer() >= end)
