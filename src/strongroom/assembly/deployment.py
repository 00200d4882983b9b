"""Builds a deployment from settings: takes its data folder, opens it, and connects all parts of the service."""

import logging
import os
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from types import TracebackType
from typing import Self

from strongroom.assembly.audit_log import end_idle_chains, idle_writers, open_audit_log
from strongroom.assembly.audit_shipping import require_destinations, required_shipping
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.event_chores import notices_of, settling_of
from strongroom.assembly.events import prepare_events, require_event_destinations
from strongroom.assembly.key_back_ends import require_certificates
from strongroom.assembly.node import require_node_id
from strongroom.assembly.open_folder import OpenFolder
from strongroom.assembly.record_check import quarantine_damaged
from strongroom.assembly.served_regions import opened_scopes, report_unserved
from strongroom.assembly.unsealing import Unsealing
from strongroom.assembly.xks_lock import writers_at_work
from strongroom.audit.writer_id import WriterId, worker_name
from strongroom.clock import Clock
from strongroom.entropy import Entropy
from strongroom.errors import QuarantinedIdentityException
from strongroom.maintenance.keeper import Keeper
from strongroom.problems import Problems
from strongroom.problems import clear as clear_problems
from strongroom.service.audit_trail import AuditTrail
from strongroom.service.credentials import Credentials
from strongroom.service.pipeline import Pipeline
from strongroom.service.quota_share import QuotaShare
from strongroom.service.readiness import Readiness
from strongroom.service.request_quotas import RequestQuotas
from strongroom.service.service import Service
from strongroom.service.shared_buckets import SharedBuckets
from strongroom.service.unauthenticated import RecordRateLimit, UnauthenticatedRequests
from strongroom.service.write_probe import WriteProbe
from strongroom.settings import Settings
from strongroom.usage.access_key_usage import AccessKeyUsage

logger = logging.getLogger(__name__)

LAST_WRITES = 3.0
"""How long each write may take when a server stops, seconds."""
_TURN = 30.0
"""For how many seconds one of several nodes at least looks for what is due, before another may."""
_ROUNDS = 3
"""How many rounds of the keeper a turn has at least."""


class Deployment:
    """One data folder, opened to serve it: the service, its keeper and its audit log. Close it afterwards."""

    def __init__(  # noqa: PLR0913, PLR0915 - each part, once
        self,
        settings: Settings,
        clock: Clock,
        entropy: Entropy,
        worker: int | None = None,
        release: Callable[[], None] | None = None,
        unsealing: Unsealing | None = None,
        *,
        development: bool = False,
    ) -> None:
        """Open the data folder as the worker of that number, after the supervisor has locked it.

        Without a number, serve alone: lock the folder, or, if this process has done so, call ``release`` when it is
        closed again. ``development`` is for ``strongroom dev``, as in ``OpenFolder``.

        Raises SettingsError, DataFolderError, UnsealError, UnknownSchemaError.
        """
        self.settings = settings
        self._turn = _turn_of(settings)
        workers = 1 if worker is None else settings.workers
        with ExitStack() as undo:
            if release is not None:
                undo.callback(release)
            elif worker is None:
                undo.callback(os.close, take_folder(settings, clock, entropy))
            problems = Problems(DataFolder(settings.folder).problems, worker_name(worker))
            undo.callback(problems.close)
            opened = OpenFolder(
                settings, clock, entropy, problems, unsealing=unsealing, serving=True, development=development
            )
            undo.callback(opened.close)
            self.node = require_node_id(opened.folder)
            quotas = _quotas(settings, workers, opened.folder, undo)
            audit_key = opened.audit_key()
            writer = WriterId(self.node, worker or 0).name
            self.log = open_audit_log(
                opened.folder.audit, writer, settings, opened.store, audit_key, clock, problems=problems
            )
            undo.callback(self.log.close)
            # Before the first call: note the uses that were not saved before a crash, and save the marks.
            marks = [self.log.mark()]
            if not worker:
                opened.trail.end_interrupted()
                with writers_at_work(opened.folder, self.node, workers) as at_work:
                    idle = idle_writers(opened.store, self.node, at_work)
                    marks += end_idle_chains(
                        opened.folder.audit, idle, settings, opened.store, audit_key, clock, problems=problems
                    )
                report_unserved(opened.store, settings, problems)
            for mark in marks:
                opened.backends.key_uses.recover(mark.writer)
            opened.backends.key_uses.write(*marks)
            self._undo = undo.pop_all()
        self.folder = opened.folder
        self._store = opened.store
        self.problems = problems
        self.backends = opened.backends
        self.registrar = opened.registrar
        self.store_counters = opened.store.counters
        self.token = opened.token
        self.domain_keys = opened.unsealed_keys
        self.back_ends = opened.back_ends
        self.required_shipping = required_shipping(settings, writer, self.log)
        shipped = None if self.required_shipping is None else self.required_shipping.takes
        trail = AuditTrail(self.log, opened.entropy, shipped)
        usage = AccessKeyUsage(opened.store)
        record_limit = RecordRateLimit()
        credentials = Credentials(opened.backends.snapshot)
        self.service = Service(
            Pipeline(opened.backends, credentials, quotas, trail, usage, record_limit),
            UnauthenticatedRequests(trail, record_limit),
            Readiness(opened.store, trail, problems, WriteProbe(opened.store, clock.timer), opened.entropy),
        )
        self.keeper = Keeper(
            opened.backends,
            trail,
            self.log,
            clock,
            opened.clock_watch,
            usage,
            keep_domain_keys=partial(opened.domain_keys.keep, every_days=settings.domain_key_rotation_days),
            domain_key_objects=opened.domain_keys,
            problems=problems,
            holder=str(self.node),
            turn=lambda: self._turn,
            at_start=partial(quarantine_damaged, opened.database, opened.store, opened.store.quarantine),
            scopes=opened_scopes(settings),
            settle_events=settling_of(settings, opened.store, clock),
            notices=notices_of(settings, opened.store, clock),
        )
        self._saves_clock = not worker
        self.clock_watch = opened.clock_watch
        # Reading all of a shared database at every start of a node would be too much for it.
        if not worker and not opened.database.is_shared and (settings.serve_damaged or not opened.database.is_small()):
            opened.store.check()
        share = QuotaShare(quotas, opened.store, self.node) if opened.database.is_shared else None
        self.chores: Callable[[], bool | None] = partial(
            _chores, share, self.keeper.upkeep if worker else self.keeper.run
        )
        """Periodic work. The first worker also does the work that is done once for all workers.

        It returns True if it has left some that is due.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def renew(self, settings: Settings) -> None:
        """Take on what can change of the settings while they are served: the interval of the keeper."""
        self._turn = _turn_of(settings)

    def hurry(self) -> None:
        """Have nothing wait for the database or for other nodes much longer: this process is about to end."""
        self.keeper.hurry()
        self._store.hurry(LAST_WRITES)

    def close(self) -> None:
        """Save the last uses and what is known of the time, write the audit lines that wait, and release the folder."""
        # A database that does not answer must not keep the process from ending. What is not written now is found in the
        # audit log by the next start.
        self.hurry()
        settling = self._store.settling
        # No answer rests on what is written now, so nothing waits for a node that has vanished.
        with ExitStack() as stack:
            if settling is not None:
                stack.enter_context(settling.deferred())
            self.keeper.upkeep(stopping=True)
            if self._saves_clock:
                try:
                    self.clock_watch.save(stopping=True)
                except OSError as error:
                    logger.warning("cannot write `%s`: %s", self.folder.clock, error)
            self._undo.close()


def _quotas(settings: Settings, workers: int, folder: DataFolder, undo: ExitStack) -> RequestQuotas | None:
    """Return the request quotas of a node, which its workers share; None if there are none."""
    if not settings.request_quotas:
        return None
    buckets = undo.enter_context(closing(SharedBuckets(folder.request_quotas))) if workers > 1 else None
    return RequestQuotas(settings.request_quotas, settings.regions, buckets)


def _turn_of(settings: Settings) -> float:
    return max(_TURN, _ROUNDS * settings.keeper_interval)


def _chores(share: QuotaShare | None, keep: Callable[[], bool | None]) -> bool | None:
    if share is not None:
        share.refresh()
    return keep()


def take_folder(settings: Settings, clock: Clock, entropy: Entropy) -> int:
    """Lock a data folder and make it ready; the first start makes everything in it.

    Returns the lock's file descriptor. The folder is locked as long as any process has it open. Raises what
    ``Deployment`` does.
    """
    lock = DataFolder(settings.folder).lock()
    try:
        ready_folder(settings, clock, entropy)
    except BaseException:
        os.close(lock)
        raise
    return lock


def ready_folder(  # noqa: PLR0913 - as ``OpenFolder``
    settings: Settings,
    clock: Clock,
    entropy: Entropy,
    unsealing: Unsealing | None = None,
    *,
    first: bool = False,
    administrator: str | None = None,
    development: bool = False,
) -> None:
    """Make a data folder ready that this process has locked; raises what ``Deployment`` does.

    The ``first`` keys of a database that nodes share, and its account, are made only if this is asked for. The account
    gets an ``administrator`` of that name, and its root access key is put aside. ``development`` is for ``strongroom
    dev``, as in ``OpenFolder``.
    """
    require_certificates(settings)
    require_destinations(settings)
    require_event_destinations(settings)
    clear_problems(DataFolder(settings.folder).problems)
    with closing(
        OpenFolder(settings, clock, entropy, unsealing=unsealing, taken=True, first=first, development=development)
    ) as opened:
        with opened.trail.changing(wait=False) as alone:
            if alone:
                try:
                    opened.seals.finish()
                except OSError as error:
                    # It opens all the same, with the document that fits. A key file can be a mount, for example.
                    logger.warning("cannot remove what a change of the seals has left: %s", error)
        if settings.fips:
            opened.seals.require_approved()
        _ensure_account(opened, settings, administrator, first=first)
        prepare_events(settings, clock)
        for problem in opened.profiles.problems():
            logger.warning("%s", problem)


def _ensure_account(opened: OpenFolder, settings: Settings, administrator: str | None, *, first: bool) -> None:
    """Make the account and its root access key at the first start; raises DataFolderError if other accounts exist."""
    try:
        with opened.store.read() as reader:
            if reader.account(settings.account) is not None:
                if first:
                    raise DataFolderError(
                        f"{opened.folder.database_name} has account {settings.account} already: it was initialized "
                        "before; start the server"
                    )
                return
    except QuarantinedIdentityException:
        # It is there. The log says what is wrong with it; all else can be served.
        return
    accounts = opened.accounts()
    if accounts:
        raise DataFolderError(
            f"`{opened.folder.path}` belongs to account {accounts[0]}; to add {settings.account}, run: "
            f"strongroom account create {settings.account}"
        )
    with opened.store.read() as reader:
        if reader.keys_by_region():
            raise DataFolderError(
                f"{opened.folder.database_name} has keys and no account: its accounts are lost; "
                "restore it from a backup"
            )
    if opened.database.is_shared and not first:
        raise DataFolderError(
            f"{opened.folder.database_name} has no account: its first keys were being made when that was interrupted; "
            "run again, on the node where that was: strongroom init"
        )
    if administrator is None and (aside := opened.folder.root_credentials).exists():
        # The access key in `credentials` is an administrator's, and would become the root's.
        raise DataFolderError(
            f"`{aside}` exists, and there is no account: making an administrator was interrupted; run again: "
            "strongroom init --admin (or move the file away)"
        )
    opened.registrar.create_account(settings.account, settings.regions[0], "default", administrator)
    opened.audit_key()
