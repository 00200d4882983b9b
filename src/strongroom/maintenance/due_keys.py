"""Which keys a duty works on in a round: those of this node's Regions that are due, for a limited time."""

from collections import deque
from collections.abc import Callable, Iterator

from strongroom.keys.arns import KeyLocator
from strongroom.maintenance.duty import Duty, Regions
from strongroom.store.protocol import Readable
from strongroom.trusted_time import Moment

_BATCH = 100
_MOST_POSTPONED = 10_000


class DueKeys:
    """Finds the keys of ``regions`` that are due. ``timer`` counts seconds.

    Keys whose work has failed come last in the next round: they may take long, and must not keep the others waiting.
    """

    def __init__(self, store: Readable, regions: Regions, timer: Callable[[], float]) -> None:
        self._store = store
        self._regions = regions
        self._timer = timer
        self._postponed: dict[str, list[KeyLocator]] = {}
        """The keys that failed last, by duty: first those that wait longest to be tried again."""

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

    def work(self, duty: Duty, moment: Moment, seconds: float, act: Callable[[KeyLocator], bool]) -> None:
        """Call ``act``, which tells whether it has succeeded, with keys that are due, for so many seconds.

        What is left is for the next round. Raises KmsError if the keys cannot be read.
        """
        end = self._timer() + seconds
        postponed = dict.fromkeys(self._postponed.get(duty.counter, ()))
        still_due, failed = set[KeyLocator](), list[KeyLocator]()
        waiting = deque(postponed)
        is_over = False
        for locator in self.find(duty, moment):
            if locator in postponed:
                still_due.add(locator)
                continue
            if not act(locator):
                failed.append(locator)
            if is_over := self._timer() >= end:
                break
        while waiting and not is_over:
            locator = waiting.popleft()
            if locator in still_due and not act(locator):
                failed.append(locator)
            is_over = self._timer() >= end
        self._postponed[duty.counter] = [*waiting, *failed][:_MOST_POSTPONED]
