"""The clock that a developer moves."""

import pytest

from strongroom.clock import DAY, ManualClock
from strongroom.development.clock import MovableClock
from strongroom.trusted_time import Reading, accepted, first, observed

NOW = 1_790_000_000.0


@pytest.fixture
def machine() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def clock(machine: ManualClock) -> MovableClock:
    return MovableClock(machine)


def reading(clock: MovableClock) -> Reading:
    return Reading(clock.now(), clock.uptime(), clock.boot())


def test_it_is_the_clock_of_the_machine_until_it_is_moved(machine: ManualClock, clock: MovableClock) -> None:
    machine.advance(5)
    assert (clock.now(), clock.uptime(), clock.timer()) == (NOW + 5, machine.uptime(), machine.timer())


def test_it_does_not_move_while_it_is_held_and_goes_on_from_there(machine: ManualClock, clock: MovableClock) -> None:
    uptime = clock.uptime()
    with clock.held() as move:
        machine.advance(3)
        assert (clock.now(), clock.uptime()) == (NOW, uptime)
        move(NOW + DAY)
        machine.advance(3)
        assert (clock.now(), clock.uptime()) == (NOW + DAY, uptime + DAY)
        move(NOW)
        assert clock.now() == NOW + DAY
    assert clock.ahead == DAY
    assert (clock.now(), clock.uptime()) == (NOW + DAY + 6, uptime + DAY + 6)


def test_durations_are_those_of_the_machine(machine: ManualClock, clock: MovableClock) -> None:
    before = clock.timer()
    with clock.held() as move:
        move(NOW + DAY)
        machine.advance(2)
    assert clock.timer() - before == 2


def test_what_was_reached_stays_reached_if_the_block_fails(clock: MovableClock) -> None:
    def fail() -> None:
        with clock.held() as move:
            move(NOW + DAY)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert clock.now() == NOW + DAY


def test_time_that_was_moved_ahead_has_passed(clock: MovableClock) -> None:
    known = first(reading(clock), None)
    with clock.held() as move:
        move(NOW + 40 * DAY)
        known = observed(known, reading(clock))
        assert known.doubt() is None
        assert known.earliest(clock.now(), clock.uptime()) == NOW + 40 * DAY


def test_a_clock_that_was_set_back_is_believed_once_it_is_accepted(clock: MovableClock) -> None:
    known = first(reading(clock), None)
    with clock.held() as move:
        move(NOW + 40 * DAY)
    known = observed(known, reading(clock))
    clock.set_back()
    known = observed(known, reading(clock))
    assert known.latest(clock.now(), clock.uptime()) > NOW + 39 * DAY
    known = accepted(known, reading(clock))
    assert known.doubt() is None
    assert known.earliest(clock.now(), clock.uptime()) == known.latest(clock.now(), clock.uptime()) == NOW
