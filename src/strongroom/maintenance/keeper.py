"""The keeper: runs the service's periodic duties.

It rotates keys (``key_rotation``), erases expired key material (``material_expiry``), deletes keys (``key_deletion``),
signs checkpoints of the audit log, and asks external key store proxies for their health (``proxy_health``). A key is
due by the trusted time (``clock_watch``), never by a wall clock that was set; dates that were written while the wall
clock was wrong are repaired (``date_repair``).

Several nodes that share a database keep it without a leader. They take turns in looking for what is due, which only
spares work: each change is planned again in the transaction that makes it, under the lock of the key, so it is made
once.

All of its state is in the store, so it catches up after any downtime: a deletion that came due while the
service was down happens in the next round.
"""

import logging
import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import ParamSpec

from strongroom.audit.sink import AuditSink
from strongroom.clock import Clock
from strongroom.errors import KmsError, QuarantinedRecordException, WriteOutcomeUnknown
from strongroom.first_few import first_few
from strongroom.keys.arns import KeyLocator
from strongroom.maintenance.clock_watch import ClockWatch
from strongroom.maintenance.date_repair import DATE_REPAIR
from strongroom.maintenance.destructions import Destructions, DomainKeyObjects
from strongroom.maintenance.due_keys import DueKeys, Worked
from strongroom.maintenance.duty import Duty
from strongroom.maintenance.key_deletion import KEY_DELETION
from strongroom.maintenance.key_rotation import AUTOMATIC_ROTATION
from strongroom.maintenance.material_expiry import MATERIAL_EXPIRY
from strongroom.maintenance.notices import Notices
from strongroom.maintenance.proxy_health import ProxyHealth
from strongroom.maintenance.service_changes import ServiceChanges
from strongroom.operations.context import Backends
from strongroom.problems import Problems
from strongroom.service.audit_trail import AuditTrail
from strongroom.service.counters import KeeperCounters
from strongroom.store.faults import StoreDamaged, StoreUnavailable
from strongroom.store.unsettled import NotSettled
from strongroom.trusted_time import Moment
from strongroom.usage.access_key_usage import AccessKeyUsage

P = ParamSpec("P")

logger = logging.getLogger(__name__)

_DUTIES = (AUTOMATIC_ROTATION, MATERIAL_EXPIRY, KEY_DELETION)
_DUTY_TIME = 2.0
"""How long, in seconds, a round works on what is due for one duty: the other work of the round must not wait for more.

It signs checkpoints of the audit log, watches the clock, and overwrites erased key material.
"""
_BEGIN_AGAIN = 600.0
"""Seconds after which what is done once is tried again if it has failed."""
_LOOKS_EVERY = 600.0
"""How often, in seconds, a node looks for what is due although it is another's turn."""
_CHANGES_KEPT = 10_000
_FAILURES_KEPT = 1000
_LOGGED_EVERY = 3600.0
"""How often, in seconds, a failure is logged that repeats for the same reason."""


class Keeper:
    """Runs the service's duties, one round at a time.

    A failure for one key does not keep the others from being changed.
    """

    def __init__(  # noqa: PLR0913 - the parts that have duties
        self,
        backends: Backends,
        trail: AuditTrail,
        log: AuditSink,
        clock: Clock,
        watch: ClockWatch,
        usage: AccessKeyUsage,
        *,
        keep_domain_keys: Callable[[Moment], None] | None = None,
        domain_key_objects: DomainKeyObjects | None = None,
        at_start: Callable[[], None] | None = None,
        problems: Problems | None = None,
        holder: str = "",
        turn: Callable[[], float] = lambda: 30.0,
        scopes: Collection[str] | None = None,
        settle_events: Callable[[], None] | None = None,
        notices: Notices | None = None,
    ) -> None:
        """Keep a service. ``holder`` is this node's name where several take turns.

        ``turn`` returns how many seconds a turn lasts that this node takes.

        ``scopes`` has the Regions whose keys are kept here; None for all.

        ``settle_events`` decides about the events of changes that were interrupted.

        ``keep_domain_keys`` is done in each round of the first worker, ``at_start`` once: in its first round, or later
        if that fails.
        """
        self._keep_domain_keys = keep_domain_keys
        self._at_start = at_start
        self._due_keys = DueKeys(backends.store, scopes, clock.timer)
        self.duty_time = _DUTY_TIME
        """How long a round works on what is due for one duty, seconds. What is left is for the next round."""
        self._is_left = False
        """Whether this round has left keys that are due and can probably be done."""
        self._misdated = set[KeyLocator]()
        """The keys whose dates could not be repaired."""
        self._settle_events = settle_events
        self._notices = notices
        self._begin_after = -math.inf
        self._backends = backends
        self._changes = ServiceChanges(backends, trail)
        self._log = log
        self._clock = clock
        self._watch = watch
        self._usage = usage
        self.counters = KeeperCounters()
        self._destructions = Destructions(backends, domain_key_objects, clock, problems or Problems(), self.counters)
        self._holder = holder
        self._turn = turn
        self._looked_at = -math.inf
        self._proxies = ProxyHealth(backends, clock.timer, self.counters.healthy_proxies)
        self._failing: dict[tuple[object, ...], tuple[str, float]] = {}
        """Why each piece of work failed in its last round, and when that was logged."""

    def hurry(self) -> None:
        """Leave what is due to a later process: this one is about to end. Any thread may call this."""
        self._due_keys.hurry()

    def run(self) -> bool:
        """Do what is due. Failures are logged, and retried in the next round.

        Returns True if the time of a duty was over before all keys were done that can be. The next round should then
        come soon.
        """
        self._is_left = False
        with self._round(report=True):
            has_turn = self._has_turn()
            if has_turn:
                self._do_duties()
            # By every node: not each of them may reach each token and cluster.
            self._run_guarded(self._destroy)
            if self._settle_events is not None:
                self._run_guarded(self._settle_events)
            self._run_guarded(self._watch.save)
            self._write_down(self._clock.now())
            self._run_guarded(self._proxies.check)
            if has_turn:
                self._run_guarded(self._rotate_domain_keys)
                if self._notices is not None:
                    self._run_guarded(self._notices.check, self._watch.moment())
                self._run_guarded(self._trim)
            self._run_guarded(self._scrub)
            self._run_guarded(self._begin)
        return self._is_left

    def upkeep(self, *, stopping: bool = False) -> None:
        """Do the work of every worker in every round, and once when it is ``stopping``.

        It checks the store's files, writes down which keys and access keys were used, signs a checkpoint of the audit
        log, and scrubs what this worker has erased: only the worker that executed DeleteImportedKeyMaterial knows that
        something was erased.
        """
        with self._round(report=False):
            # When it stops, what is not due yet is written too.
            self._write_down(math.inf if stopping else self._clock.now())
            self._run_guarded(self._scrub)

    @contextmanager
    def _round(self, *, report: bool) -> Iterator[None]:
        begun = self._clock.timer()
        self._run_guarded(self._watch.observe, report=report)
        self.counters.clock_difference = self._watch.difference
        self.counters.database_clock_difference = self._watch.database_difference
        yield
        self._backends.secrets.forget_dropped()
        self.counters.rounds += 1
        self.counters.last_duration = self._clock.timer() - begun
        self.counters.last_end = self._clock.now()

    def _has_turn(self) -> bool:
        """Tell whether this node looks for what is due in this round.

        It does so at times without having the turn, because who has it may not be able to do everything.
        """
        found = [False]
        self._run_guarded(self._take_turn, found)
        if found[0] or self._clock.timer() - self._looked_at >= _LOOKS_EVERY:
            self._looked_at = self._clock.timer()
            return True
        return False

    def _take_turn(self, found: list[bool]) -> None:
        found[0] = self._backends.store.take_turn(self._holder, self._turn())

    def _destroy(self) -> None:
        self._destructions.run(self._watch.moment())

    def _rotate_domain_keys(self) -> None:
        if self._keep_domain_keys is not None:
            self._keep_domain_keys(self._watch.moment())

    def _begin(self) -> None:
        if self._at_start is None or self._clock.timer() < self._begin_after:
            return
        # It reads every record, so it is not tried again in each round.
        self._begin_after = self._clock.timer() + _BEGIN_AGAIN
        self._at_start()
        self._at_start = None

    def _do_duties(self) -> None:
        moment = self._watch.moment()
        held = self._repair_dates(moment) if self._watch.unchecked else set()
        if held is None:
            return
        for duty in _DUTIES:
            self._run_guarded(self._do_duty, duty, moment, held)

    def _do_duty(self, duty: Duty, moment: Moment, held: Collection[KeyLocator]) -> None:
        def act(locator: KeyLocator) -> bool:
            before = self.counters.keys[duty.counter]
            if locator not in held:
                self._run_guarded(self._perform, duty, locator, moment)
            return self.counters.keys[duty.counter] != before

        self._is_left |= self._due_keys.work(duty, moment, self.duty_time, act).goes_on

    def _repair_dates(self, moment: Moment) -> Collection[KeyLocator] | None:
        """Repair dates before anything is done by them, for as long as a duty has.

        Returns the keys for which that failed; None if others may have wrong dates as well. The next round goes on.
        """
        worked = list[Worked]()

        def act(locator: KeyLocator) -> bool:
            before = self.counters.keys[DATE_REPAIR.counter]
            self._misdated.add(locator)
            if self._run_guarded(self._perform, DATE_REPAIR, locator, moment):
                self._misdated.remove(locator)
            return self.counters.keys[DATE_REPAIR.counter] != before

        def repair() -> None:
            worked.append(self._due_keys.work(DATE_REPAIR, moment, self.duty_time, act))

        if not self._run_guarded(repair) or not worked:
            return None
        self._misdated &= set(worked[0].postponed)
        self._is_left |= worked[0].goes_on
        if worked[0].is_left:
            return None
        if not self._misdated:
            self._watch.checked()
        return self._misdated

    def _perform(self, duty: Duty, locator: KeyLocator, moment: Moment) -> None:
        if self._changes.make(locator, duty.plan(locator, moment), self._clock.now()):
            self.counters.keys[duty.counter] += 1
            logger.info("%s %s", duty.done, locator.arn)

    def _write_down(self, now: float) -> None:
        self._run_guarded(self._backends.snapshot.unload_keys)
        self._run_guarded(self._backends.store.retry_writes)
        self._run_guarded(self._backends.store.confirm)
        self._run_guarded(self._usage.write, now)
        self._run_guarded(self._write_key_uses)
        self._run_guarded(self._log.checkpoint)

    def _write_key_uses(self) -> None:
        self._backends.key_uses.write(self._log.mark())

    def _trim(self) -> None:
        self._backends.store.trim_changes(_CHANGES_KEPT)

    def _scrub(self) -> None:
        self._backends.store.scrub()

    def _run_guarded(self, act: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> bool:
        """Run one piece of work; return False if it has failed. That is logged and counted, and the rest still done."""
        try:
            act(*args, **kwargs)
        except NotSettled as error:
            # This process ends. What was written is durable, and nothing that is left to do rests on it.
            logger.info("%s: %s", act.__name__, error)
        except (StoreUnavailable, StoreDamaged, WriteOutcomeUnknown, QuarantinedRecordException):
            # The store or the quarantine has said why, once.
            self.counters.failures += 1
            return False
        except Exception as error:  # noqa: BLE001 - logged below
            self.counters.failures += 1
            self._log_failure(act.__name__, args, error)
            return False
        else:
            if self._failing:
                self._failing.pop(_identity(act.__name__, args), None)
        return True

    def _log_failure(self, name: str, args: tuple[object, ...], error: Exception) -> None:
        """Log a failure; one that repeats in every round for the same reason, once an hour."""
        if len(self._failing) >= _FAILURES_KEPT:
            self._failing.clear()
        what, now = _identity(name, args), self._clock.timer()
        # Of an error of the operating system, a traceback shows nothing more.
        system = next((each for each in (error, error.__cause__) if isinstance(each, OSError)), None)
        # Nor does it of what a call would be answered with. Other errors are bugs.
        expected = error if isinstance(error, KmsError) else None
        told = (expected and expected.explanation) or system or error
        reason = repr(told)
        before = self._failing.get(what)
        if before is not None and before[0] == reason and now - before[1] < _LOGGED_EVERY:
            return
        self._failing[what] = reason, now
        logger.error(
            "the keeper could not finish %s (%s), and tries again: %s",
            name,
            ", ".join(filter(None, map(_shown, args))),
            told,
            exc_info=None if system or expected else error,
        )


def _shown(arg: object) -> str:
    """Return what a piece of work is about, for the log: of keys, which can be any number, the first few."""
    return first_few(arg, 3) if isinstance(arg, set) else repr(arg)


def _identity(name: str, args: tuple[object, ...]) -> tuple[object, ...]:
    """Return what tells one piece of work from others, in all rounds: without the time."""
    return name, *(str(each) for each in args if isinstance(each, Duty | KeyLocator))
