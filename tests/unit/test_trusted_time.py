"""The trusted time: what no step of the wall clock, no restart and no pause of the machine can hurry."""

import pytest

from strongroom.clock import DAY
from strongroom.trusted_time import Doubt, Moment, Reading, TrustedTime, accepted, first, observed

NOW = 1_790_000_000.0
HOUR = 3600.0


class Machine:
    """A machine with a wall clock that can be wrong by ``error``, and the trusted time of the server on it."""

    def __init__(self, *, confirmed: bool = True) -> None:
        self.true = NOW
        self.error = 0.0
        self.started = NOW
        self.boot = 1
        self.known: TrustedTime = first(self.reading, None)
        if confirmed:
            self.run(11 * 60)

    @property
    def reading(self) -> Reading:
        return Reading(self.true + self.error, self.true - self.started, f"boot {self.boot}")

    @property
    def moment(self) -> Moment:
        wall, uptime = self.reading.wall, self.reading.uptime
        return Moment(self.known.earliest(wall, uptime), self.known.latest(wall, uptime))

    def doubt(self) -> Doubt | None:
        return self.known.doubt()

    def run(self, seconds: float, every: float = 60.0) -> None:
        end = self.true + seconds
        while self.true < end:
            self.true = min(end, self.true + every)
            self.known = observed(self.known, self.reading)

    def step(self, seconds: float) -> None:
        self.error += seconds
        self.known = observed(self.known, self.reading)

    def restart(self, off: float = 0.0, error: float = 0.0) -> None:
        self.true += off
        self.error = error
        self.started = self.true
        self.boot += 1
        self.known = observed(self.known, self.reading)


def test_a_clock_in_order_is_the_trusted_time() -> None:
    machine = Machine()
    machine.run(30 * DAY, every=HOUR)
    assert machine.moment == Moment(machine.true, machine.true)
    assert machine.doubt() is None


@pytest.mark.parametrize("error", [31 * DAY, -31 * DAY])
def test_a_clock_that_is_set_and_comes_back_moves_nothing(error: float) -> None:
    machine = Machine()
    machine.step(error)
    machine.run(7, every=1)
    assert machine.doubt() is Doubt.STEPPED
    assert machine.moment == Moment(machine.true + min(0, error), machine.true + max(0, error))
    machine.step(-error)
    assert machine.moment == Moment(machine.true, machine.true)
    assert machine.doubt() is Doubt.RETURNED
    machine.run(599)
    assert machine.doubt() is Doubt.RETURNED
    machine.run(1)
    assert machine.doubt() is None


def test_a_step_between_two_readings_needs_not_be_seen() -> None:
    machine = Machine()
    machine.error = -31 * DAY
    assert machine.moment.latest == machine.true
    machine.error = 31 * DAY
    assert machine.moment.earliest == machine.true


def test_a_clock_that_stays_ahead_is_not_believed() -> None:
    machine = Machine()
    machine.step(31 * DAY)
    machine.run(DAY)
    assert machine.doubt() is Doubt.STEPPED
    assert machine.moment.earliest == pytest.approx(machine.true, abs=60)
    # It goes on from there as time passes: what is due is done.
    machine.run(30 * DAY, every=HOUR)
    assert machine.moment.earliest == pytest.approx(machine.true, abs=30 * 60)


def test_a_small_step_that_stays_is_of_no_concern_after_ten_minutes() -> None:
    """A virtual machine that was paused for a quarter of an hour: its uptime did not go on."""
    machine = Machine()
    machine.step(15 * 60)
    assert machine.doubt() is Doubt.STEPPED
    machine.run(600)
    assert machine.doubt() is None
    assert machine.moment.earliest == pytest.approx(machine.reading.wall - 15 * 60, abs=1)


def test_small_steps_do_not_add_up() -> None:
    """A minute with every reading would double the speed of time."""
    machine = Machine()
    for _ in range(1000):
        machine.run(60)
        machine.step(59)
    assert machine.moment.earliest <= machine.true + 60
    assert machine.doubt() is Doubt.STEPPED


def test_a_clock_that_drifts_is_followed() -> None:
    machine = Machine()
    for _ in range(20 * 24):
        machine.run(HOUR, every=60)
        machine.step(0.4)
    assert machine.doubt() is None
    assert machine.moment.earliest == pytest.approx(machine.reading.wall, abs=1)


def test_a_laptop_that_was_off_for_days_believes_its_clock_after_ten_minutes() -> None:
    machine = Machine()
    before = machine.true
    machine.restart(off=20 * DAY)
    assert machine.doubt() is Doubt.STARTED
    assert machine.moment == Moment(before, machine.true)
    machine.run(599)
    assert machine.moment.earliest == before + 599
    machine.run(1)
    assert machine.moment == Moment(machine.true, machine.true)
    assert machine.doubt() is None


def test_an_ordinary_restart_of_the_machine_is_no_concern() -> None:
    machine = Machine()
    machine.restart(off=90)
    assert machine.doubt() is None
    assert machine.moment.earliest == machine.true - 90


@pytest.mark.parametrize("error", [31 * DAY, -31 * DAY])
def test_a_clock_that_is_put_right_after_a_start_of_the_machine(error: float) -> None:
    """It has no battery, or a wrong one, until the network gives it the time."""
    machine = Machine()
    before = machine.true
    machine.restart(off=HOUR, error=error)
    machine.run(500)
    assert machine.doubt() is Doubt.STARTED
    assert machine.moment.earliest <= before + 500
    machine.step(-error)
    machine.run(599)
    assert machine.doubt() is Doubt.STARTED
    machine.run(1)
    assert machine.moment == Moment(machine.true, machine.true)
    assert machine.doubt() is None


@pytest.mark.parametrize("starts", [1, 2])
@pytest.mark.parametrize("error", [31 * DAY, -31 * DAY])
def test_a_clock_that_was_set_before_the_machine_was_started_again_is_not_believed(error: float, starts: int) -> None:
    machine = Machine()
    machine.step(error)
    for _ in range(starts):
        machine.restart(off=60, error=error)
    machine.run(DAY)
    assert machine.doubt() is Doubt.STEPPED
    assert machine.moment.earliest <= machine.true
    assert machine.moment.latest >= machine.true - 30
    machine.step(-error)
    machine.run(600)
    assert machine.doubt() is None
    assert machine.moment.earliest == pytest.approx(machine.true, abs=60)


@pytest.mark.parametrize("error", [31 * DAY, -31 * DAY])
def test_a_clock_that_was_set_and_came_back_while_the_machine_was_off(error: float) -> None:
    machine = Machine()
    machine.step(error)
    machine.restart(off=DAY)
    machine.run(600)
    assert machine.doubt() is None
    assert machine.moment == Moment(machine.true, machine.true)


def test_an_operator_accepts_the_clock() -> None:
    machine = Machine()
    machine.step(31 * DAY)
    machine.run(60)
    machine.known = accepted(machine.known, machine.reading)
    assert machine.doubt() is None
    assert machine.moment == Moment(machine.reading.wall, machine.reading.wall)
    machine.run(HOUR)
    assert machine.doubt() is None


def test_an_acceptance_counts_once() -> None:
    machine = Machine()
    machine.step(31 * DAY)
    acceptance = machine.reading
    machine.known = accepted(machine.known, acceptance)
    machine.step(DAY)
    machine.known = accepted(observed(machine.known, machine.reading), acceptance)
    assert machine.doubt() is Doubt.STEPPED


def test_an_acceptance_is_of_the_clock_as_it_was() -> None:
    machine = Machine()
    machine.step(DAY)
    acceptance = machine.reading
    machine.step(DAY)
    machine.known = accepted(machine.known, acceptance)
    assert machine.doubt() is Doubt.STEPPED
    machine.restart(error=2 * DAY)
    machine.known = accepted(machine.known, acceptance)
    assert machine.known.difference > DAY


def test_without_a_name_of_the_start_every_reading_is_that_of_a_new_start() -> None:
    machine = Machine(confirmed=False)
    unnamed = Reading(machine.true + 31 * DAY, 1e6, "")
    known = observed(observed(machine.known, unnamed), unnamed)
    assert known.earliest(unnamed.wall, unnamed.uptime) <= machine.true
    assert known.doubt() is Doubt.STARTED


def test_a_first_start_has_nothing_to_compare_with() -> None:
    machine = Machine(confirmed=False)
    assert machine.doubt() is None
    assert machine.moment == Moment(NOW, NOW)


@pytest.mark.parametrize(("since", "doubt"), [(-30.0, None), (-2 * DAY, Doubt.STARTED), (120.0, Doubt.STARTED)])
def test_a_first_start_that_knows_the_last_checkpoint(since: float, doubt: Doubt | None) -> None:
    known = first(Reading(NOW, 5.0, "boot"), NOW + since)
    assert known.doubt() is doubt
    assert known.earliest(NOW, 5.0) == NOW + min(0.0, since)
