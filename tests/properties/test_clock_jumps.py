"""No sequence of jumps of the wall clock, restarts and pauses deletes a key before its window has passed in true time.

The watch and the rules of the life cycle are the product's; the rounds are those of the keeper, without a database.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from keys_builder import make_key
from strongroom.clock import DAY, ManualClock
from strongroom.keys import lifecycle
from strongroom.keys.kms_key import KmsKey
from strongroom.maintenance.clock_watch import ClockWatch, reading_of
from strongroom.problems import Problems
from strongroom.trusted_time import REPORTED, SETTLING, STEP, Reading, TrustedTime

WINDOW_DAYS = 7
TOLERANCE = SETTLING + STEP + 500e-6 * 60 * DAY
"""What the two bounds may be off: a step that is too small to be one, and a rate that follows drift."""


class Record:
    """Keeps what is known in memory. See ``ClockRecord``."""

    def __init__(self) -> None:
        self.known: TrustedTime | None = None
        self.accepted: Reading | None = None

    def read(self) -> TrustedTime | None:
        return self.known

    def write(self, known: TrustedTime) -> None:
        self.known = known

    def acceptance(self) -> Reading | None:
        return self.accepted


class Node:
    """A server on a machine whose wall clock is ahead of the true time by ``error``."""

    def __init__(self) -> None:
        self.clock = ManualClock(1_790_000_000.0)
        self.record = Record()
        self.problems = Problems()
        self.true = self.clock.now()
        self.pending: list[tuple[float, KmsKey]] = []
        self.deleted: list[float] = []
        self.start()
        self.run(SETTLING)

    @property
    def error(self) -> float:
        return self.clock.now() - self.true

    @property
    def confirmed(self) -> bool:
        return self.record.known is not None and self.record.known.confirmed

    def start(self) -> None:
        self.watch = ClockWatch(self.clock, self.record, self.problems, None)
        self.round()

    def run(self, seconds: float) -> None:
        rounds = 8
        for _ in range(rounds):
            self.clock.advance(seconds / rounds)
            self.true += seconds / rounds
            self.round()

    def round(self) -> None:
        """Do what the keeper does in one round."""
        self.watch.observe(report=True)
        moment = self.watch.moment()
        if self.watch.unchecked:
            repair = lifecycle.with_dates_repaired
            self.pending = [(at, repair(key, moment.latest, moment.unsure_since)) for at, key in self.pending]
            self.watch.checked()
        due = [each for each in self.pending if lifecycle.deletion_due(each[1], moment.earliest)]
        for scheduled_at, _ in due:
            self.deleted.append(self.true - scheduled_at)
        self.pending = [each for each in self.pending if each not in due]
        self.watch.save()

    def schedule(self) -> None:
        begin = self.watch.latest(self.clock.now())
        key = lifecycle.schedule_deletion(make_key(), WINDOW_DAYS, begin)
        self.pending.append((self.true, key))

    def step_to(self, error: float) -> None:
        self.clock.step(error - self.error)

    def restart_machine(self, off: float, error: float) -> None:
        self.true += off
        self.clock.restart(off)
        self.step_to(error)
        self.start()


errors = st.sampled_from([-400 * DAY, -31 * DAY, -DAY, -900.0, 0.0, 0.0, 59.0, 900.0, DAY, 31 * DAY, 400 * DAY])
durations = st.sampled_from([1.0, 7.0, 300.0, 700.0, 3600.0, DAY, 3 * DAY, 8 * DAY])
actions = st.one_of(
    st.tuples(st.just("run"), durations),
    st.tuples(st.just("step"), errors),
    st.tuples(st.just("round"), st.none()),
    st.tuples(st.just("schedule"), st.none()),
    st.tuples(st.just("restart the server"), st.none()),
    # The clock is as wrong as before, or right; it may be wrong in another way for less than ten minutes.
    st.tuples(st.just("restart the machine as it was"), durations),
    st.tuples(st.just("restart the machine with a right clock"), durations),
    st.tuples(st.just("restart the machine with a clock that is put right"), st.tuples(durations, errors)),
)


def act(node: Node, action: str, value: object) -> None:  # noqa: C901 - one case for each action
    match action, value:
        case "run", float(seconds):
            node.run(seconds)
        case "step", float(error):
            # While no clock is confirmed, a step that is wrong and stays looks like one that is right.
            node.step_to(error if node.confirmed else 0.0)
        case "round", _:
            node.round()
        case "schedule", _:
            node.schedule()
        case "restart the server", _:
            node.start()
        case "restart the machine as it was", float(off):
            node.round()
            node.restart_machine(off, node.error)
        case "restart the machine with a right clock", float(off):
            node.restart_machine(off, 0.0)
        case "restart the machine with a clock that is put right", (float(off), float(error)):
            node.restart_machine(off, error)
            node.run(300)
            node.schedule()
            node.step_to(0.0)
            node.round()
        case _:
            raise ValueError(action)


@given(st.lists(actions, max_size=25))
@settings(max_examples=400)
def test_no_key_is_deleted_before_its_window_has_passed(sequence: list[tuple[str, object]]) -> None:
    node = Node()
    for action, value in sequence:
        act(node, action, value)
    assert all(waited >= WINDOW_DAYS * DAY - TOLERANCE for waited in node.deleted)


@given(st.lists(actions, max_size=15))
@settings(max_examples=200)
def test_with_a_right_clock_every_key_is_deleted_in_time(sequence: list[tuple[str, object]]) -> None:
    node = Node()
    for action, value in sequence:
        act(node, action, value)
    node.step_to(0.0)
    node.round()
    if node.problems.current():
        # A clock that is as far back as the time that the machine was off looks as if it were still wrong.
        node.record.accepted = reading_of(node.clock)
        node.round()
        assert not node.problems.current()
    # Within a day, dates that are too far ahead are repaired.
    node.run(3 * SETTLING)
    node.run(2 * DAY)
    # A window after the clock is right: none of these waits for longer, whatever its date was.
    node.run(WINDOW_DAYS * DAY + lifecycle.MAX_AHEAD + REPORTED)
    assert node.pending == []
