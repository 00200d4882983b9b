"""Time passes from one due date to the next."""

import pytest

from strongroom.clock import DAY, ManualClock
from strongroom.development.clock import MovableClock
from strongroom.development.time_control import LONGEST, TimeControl
from strongroom.trusted_time import Reading

NOW = 1_790_000_000.0


class Keeper:
    """Does what is due at some dates, and what is due again and again."""

    def __init__(self, clock: MovableClock, *dates: float, every: float | None = None) -> None:
        self.clock = clock
        self.dates = sorted(dates)
        self.every = every
        self.rounds: list[float] = []
        self.accepted: list[Reading] = []
        self.stuck = False

    def chores(self) -> None:
        self.rounds.append(self.clock.now())
        while self.dates and self.dates[0] <= self.clock.now() and not self.stuck:
            done = self.dates.pop(0)
            if self.every is not None:
                self.dates.append(done + self.every)

    def next_due(self, until: float) -> float | None:
        return next((date for date in self.dates if date <= until), None)


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(ManualClock(NOW))


def control(keeper: Keeper) -> TimeControl:
    return TimeControl(keeper.clock, keeper.chores, keeper.next_due, keeper.accepted.append)


def test_what_is_due_is_done_at_its_time(clock: MovableClock) -> None:
    keeper = Keeper(clock, NOW + 3 * DAY, NOW + 7 * DAY, NOW + 9 * DAY)
    control(keeper).advance(8 * DAY)
    assert keeper.rounds == [NOW + 3 * DAY, NOW + 7 * DAY, NOW + 8 * DAY]
    assert keeper.dates == [NOW + 9 * DAY]
    assert clock.now() == NOW + 8 * DAY
    assert [each.wall for each in keeper.accepted] == keeper.rounds


def test_what_is_due_each_year_is_done_in_each(clock: MovableClock) -> None:
    keeper = Keeper(clock, NOW + 365 * DAY, every=365 * DAY)
    control(keeper).advance(3 * 365 * DAY)
    assert keeper.rounds == [NOW + year * 365 * DAY for year in (1, 2, 3)]


def test_what_stays_due_does_not_keep_time_from_passing(clock: MovableClock) -> None:
    keeper = Keeper(clock, NOW + DAY)
    keeper.stuck = True
    control(keeper).advance(30 * DAY)
    assert clock.now() == NOW + 30 * DAY
    assert len(keeper.rounds) <= 1001


def test_very_many_due_dates_share_rounds(clock: MovableClock) -> None:
    keeper = Keeper(clock, *(NOW + number for number in range(1, 5000)))
    control(keeper).advance(DAY)
    assert keeper.dates == []
    assert len(keeper.rounds) <= 2001


@pytest.mark.parametrize("seconds", [0.0, -1.0, LONGEST + 1, float("nan"), float("inf")])
def test_time_goes_on_and_not_without_end(clock: MovableClock, seconds: float) -> None:
    with pytest.raises(ValueError, match="a hundred years in all"):
        control(Keeper(clock)).advance(seconds)
    assert clock.now() == NOW


def test_the_hundred_years_are_those_in_all(clock: MovableClock) -> None:
    time = control(Keeper(clock))
    time.advance(LONGEST)
    with pytest.raises(ValueError, match="a hundred years in all"):
        time.advance(1)
    time.set_back()
    time.advance(1)
    assert (time.now(), time.ahead) == (NOW + 1, 1)


def test_a_clock_that_was_not_moved_is_not_set_back(clock: MovableClock) -> None:
    keeper = Keeper(clock)
    before = clock.boot()
    control(keeper).set_back()
    assert (clock.boot(), keeper.rounds) == (before, [])
