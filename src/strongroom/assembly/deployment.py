"""Builds a deployment from settings: opens the data folder and connects all parts of the service."""

import logging
import os
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from types import TracebackType
from typing import Self

from strongroom.assembly.audit_log import (
    end_idle_chains,
    idle_writers,
    last_checkpoint,
    open_audit_key,
    open_audit_log,
)
from strongroom.assembly.clock_record import ClockFiles
from strongroom.assembly.command_trail import CommandTrail
from strongroom.assembly.data_folder import (
    DataFolder,
    DataFolderError,
    open_store,
    require_database,
    upgrade_unused,
)
from strongroom.assembly.database_check import is_checked_at_once, require_whole_database
from strongroom.assembly.database_history import require_all_committed
from strongroom.assembly.domain_key_rotation import DomainKeyRotation, follow_domain_keys
from strongroom.assembly.domain_keys import Protection, open_domain_keys
from strongroom.assembly.key_back_ends import open_key_backends, require_certificates
from strongroom.assembly.key_policies import KeyPolicies
from strongroom.assembly.node import claim_old_writers, ensure_node_id, read_node_id, require_node_id
from strongroom.assembly.profiles import Profiles
from strongroom.assembly.provider_keys import ProviderKeys
from strongroom.assembly.record_check import quarantine_damaged
from strongroom.assembly.registrar import Registrar
from strongroom.assembly.rewrapping import Rewrapping
from strongroom.assembly.root_keys import RootKeys
from strongroom.assembly.row_authentication import authenticate_rows
from strongroom.assembly.seals import Seals
from strongroom.assembly.served_regions import report_unserved
from strongroom.assembly.tokens import ConfiguredToken, key_backend_of
from strongroom.assembly.unsealing import Unsealing
from strongroom.assembly.xks_lock import writers_at_work
from strongroom.audit.writer_id import WriterId, parse_writer, worker_name
from strongroom.clock import Clock
from strongroom.crypto.documents.attestation import Attestations
from strongroom.crypto.documents.fetched_keys import FetchedKeys, fetch_keys
from strongroom.crypto.documents.web_identity import WebIdentities
from strongroom.crypto.self_tests.run import require_self_tests
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.crypto.software.private_keys import SoftwareDataKeyPairs
from strongroom.crypto.software.random_source import SoftwareRandomSource
from strongroom.entropy import CheckedEntropy, Entropy
from strongroom.errors import QuarantinedIdentityException
from strongroom.maintenance.clock_watch import ClockWatch
from strongroom.maintenance.keeper import Keeper
from strongroom.node_id import NodeId
from strongroom.operations.context import Backends
from strongroom.operations.kms.table import TABLE
from strongroom.problems import Problems
from strongroom.problems import clear as clear_problems
from strongroom.service.audit_trail import AuditTrail
from strongroom.service.credentials import Credentials
from strongroom.service.pipeline import Pipeline
from strongroom.service.readiness import Readiness
from strongroom.service.request_quotas import RequestQuotas
from strongroom.service.service import Service
from strongroom.service.shared_buckets import SharedBuckets
from strongroom.service.unauthenticated import RecordRateLimit, UnauthenticatedRequests
from strongroom.service.write_probe import WriteProbe
from strongroom.settings import Settings
from strongroom.snapshot.loaded_keys import LoadedKeys
from strongroom.snapshot.snapshot import Snapshot
from strongroom.store.audit.tail import AuditTail
from strongroom.store.sqlite.schema_version import upgrade
from strongroom.usage.access_key_usage import AccessKeyUsage
from strongroom.usage.key_usage import KeyUses

logger = logging.getLogger(__name__)

_USES = frozenset(operation.name for operation in TABLE.values() if operation.uses)


class OpenFolder:
    """A data folder, which other processes may have open too: its back ends, and the registrar of accounts."""

    def __init__(  # noqa: PLR0913 - what the whole folder is opened with
        self,
        settings: Settings,
        clock: Clock,
        entropy: Entropy,
        problems: Problems | None = None,
        *,
        unsealing: Unsealing | None = None,
        taken: bool = False,
        also_older: bool = False,
    ) -> None:
        """Open the store and unseal the domain keys.

        ``taken`` is True in the process that has locked the folder: it first makes or upgrades the database, the keys
        of all Regions and the node's identity. In any other process the database must have this release's schema
        already. ``also_older`` opens a database also if it lacks what the audit log says was committed. ``unsealing``
        opens the root key; by default, it asks for no passphrase.
        Raises SettingsError, DataFolderError, UnsealError, SealUnavailableError, UnknownSchemaError, and SelfTestError
        before anything else.
        """
        require_self_tests()
        self.entropy = entropy = CheckedEntropy(entropy)
        attestations = Attestations(settings.attestation_roots, settings.attestation_age, settings.clock_skew)
        self.folder = DataFolder(settings.folder)
        self.problems = problems or Problems()
        if taken:
            require_database(self.folder)
            require_whole_database(self.folder, serve_damaged=settings.serve_damaged)
            upgrade(self.folder.database)
        with ExitStack() as undo:
            self.store = store = undo.enter_context(closing(open_store(self.folder, self.problems)))
            if not also_older:
                require_all_committed(self.folder, store)
            self.unsealing = unsealing = unsealing or Unsealing(settings, entropy)
            new_regions = settings.regions if taken else ()
            self.token = ConfiguredToken(unsealing, self.folder.token_login, problems)
            undo.callback(self.token.close)
            protection = Protection(self.token, in_token=settings.key_protection != "software", required=taken)
            self.unsealed_keys = domain_keys = open_domain_keys(
                self.folder, store, new_regions, unsealing, entropy, protection, now=clock.now()
            )
            follow_domain_keys(domain_keys, self.folder, store, unsealing, self.problems, clock.timer)
            authenticate_rows(self.folder, store, domain_keys, self.problems, unsealing, taken=taken)
            secrets = ServiceSecrets(domain_keys)
            default = key_backend_of(settings, domain_keys, entropy)
            self.back_ends = back_ends = undo.enter_context(
                closing(open_key_backends(default, secrets, settings, store, clock, entropy))
            )
            key_backends, key_stores = back_ends.key_backends, back_ends.key_stores
            if taken:
                claim_old_writers(self.folder, store, ensure_node_id(self.folder, entropy))
            self.clock_watch = ClockWatch(clock, ClockFiles(self.folder), self.problems, last_checkpoint(store))
            self.backends = Backends(
                store=store,
                key_backends=key_backends,
                key_managers=back_ends.proxies,
                clusters=back_ends.clusters,
                secrets=secrets,
                data_key_pairs=SoftwareDataKeyPairs(approved_only=settings.fips),
                random=SoftwareRandomSource(entropy),
                snapshot=Snapshot(
                    store,
                    key_backends,
                    secrets,
                    settings.cached_keys,
                    store.quarantine,
                    key_stores,
                    loaded_keys=LoadedKeys(settings.loaded_keys, settings.loaded_keys_time, clock.timer),
                ),
                entropy=entropy,
                web_identities=_web_identities(settings),
                attestations=attestations,
                key_uses=KeyUses(
                    store, AuditTail(self.folder.audit), _USES, partial(_is_local, read_node_id(self.folder))
                ),
                managed_rotation_days=settings.managed_rotation_days,
                customer_keys=settings.customer_keys,
                regions=settings.regions,
                latest_time=self.clock_watch.latest,
            )
            self.trail = CommandTrail(self.folder, store, secrets, settings, clock, entropy)
            # What a first start makes is no change of an operator's.
            self.registrar = Registrar(self.folder, store, secrets, clock, entropy, None if taken else self.trail)
            self.root_keys = RootKeys(self.folder, store, secrets, clock, entropy, self.trail)
            self.provider_keys = ProviderKeys(self.folder, store, self.trail)
            self.key_policies = KeyPolicies(self.folder, store, self.trail)
            self.seals = Seals(
                self.folder, store, unsealing, self.trail, entropy, self.token, approved_only=settings.fips
            )
            self.domain_keys = DomainKeyRotation(
                self.folder,
                store,
                domain_keys,
                Rewrapping(store, key_backends, secrets, clock.timer),
                unsealing,
                self.trail,
                protection=protection,
                clock=clock,
                latest=self.clock_watch.latest,
                entropy=entropy,
            )
            self.profiles = Profiles(self.folder, store, secrets)
            undo.pop_all()

    def accounts(self) -> list[str]:
        """Return every account."""
        with self.store.read() as reader:
            return [record.account for record in reader.accounts()]

    def close(self) -> None:
        """Close the database, the connections to tokens, and those to external key store proxies."""
        self.back_ends.close()
        self.store.close()
        self.token.close()


def open_existing(
    settings: Settings,
    clock: Clock,
    entropy: Entropy,
    *,
    unsealing: Unsealing | None = None,
    also_older: bool = False,
) -> OpenFolder:
    """Open a data folder that a server has made, whether the server runs or not.

    ``also_older`` is for commands that tell of a database that was set back. Raises DataFolderError if there is no data
    folder, or if a server of another release is using it.
    """
    folder = DataFolder(settings.folder)
    require_database(folder)
    if not folder.database.exists():
        raise DataFolderError(f"`{settings.folder}` is not a data folder; start a server once to make it")
    upgrade_unused(folder)
    return OpenFolder(settings, clock, entropy, unsealing=unsealing, also_older=also_older)


class Deployment:
    """One data folder, opened to serve it: the service, its keeper and its audit log. Close it afterwards."""

    def __init__(  # noqa: PLR0915 - each part, once
        self,
        settings: Settings,
        clock: Clock,
        entropy: Entropy,
        worker: int | None = None,
        release: Callable[[], None] | None = None,
        unsealing: Unsealing | None = None,
    ) -> None:
        """Open the data folder as the worker of that number, after the supervisor has locked it.

        Without a number, serve alone: lock the folder, or, if this process has done so, call ``release`` when it is
        closed again.

        Raises SettingsError, DataFolderError, UnsealError, UnknownSchemaError.
        """
        self.settings = settings
        workers = 1 if worker is None else settings.workers
        quotas = None
        with ExitStack() as undo:
            if release is not None:
                undo.callback(release)
            elif worker is None:
                undo.callback(os.close, take_folder(settings, clock, entropy))
            problems = Problems(DataFolder(settings.folder).problems, worker_name(worker))
            undo.callback(problems.close)
            opened = OpenFolder(settings, clock, entropy, problems, unsealing=unsealing)
            undo.callback(opened.close)
            if settings.request_quotas:
                buckets = None
                if workers > 1:
                    buckets = undo.enter_context(closing(SharedBuckets(opened.folder.request_quotas)))
                quotas = RequestQuotas(settings.request_quotas, settings.regions, buckets)
            self.node = require_node_id(opened.folder)
            audit_key = open_audit_key(opened.store, opened.backends.secrets, opened.entropy, opened.folder.audit)
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
                report_unserved(opened.store, settings.regions, problems)
            for mark in marks:
                opened.backends.key_uses.recover(mark.writer)
            opened.backends.key_uses.write(*marks)
            self._undo = undo.pop_all()
        self.folder = opened.folder
        self.problems = problems
        self.backends = opened.backends
        self.registrar = opened.registrar
        self.store_counters = opened.store.counters
        self.token = opened.token
        self.back_ends = opened.back_ends
        trail = AuditTrail(self.log, opened.entropy)
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
            at_start=partial(quarantine_damaged, opened.folder, opened.store, opened.store.quarantine),
        )
        self._saves_clock = not worker
        self.clock_watch = opened.clock_watch
        if not worker and (settings.serve_damaged or not is_checked_at_once(self.folder)):
            opened.store.check()
        self.chores = self.keeper.upkeep if worker else self.keeper.run
        """Periodic work. The first worker also does the work that is done once for all workers."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Save the last uses and what is known of the time, write the audit lines that wait, and release the folder."""
        self.keeper.upkeep(stopping=True)
        if self._saves_clock:
            try:
                self.clock_watch.save(stopping=True)
            except OSError as error:
                logger.warning("cannot write `%s`: %s", self.folder.clock, error)
        self._undo.close()


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


def ready_folder(settings: Settings, clock: Clock, entropy: Entropy, unsealing: Unsealing | None = None) -> None:
    """Make a data folder ready that this process has locked; raises what ``Deployment`` does."""
    require_certificates(settings)
    clear_problems(DataFolder(settings.folder).problems)
    with closing(OpenFolder(settings, clock, entropy, unsealing=unsealing, taken=True)) as opened:
        with opened.folder.registering(wait=False) as alone:
            if alone:
                try:
                    opened.seals.finish()
                except OSError as error:
                    # It opens all the same, with the document that fits. A key file can be a mount, for example.
                    logger.warning("cannot remove what a change of the seals has left: %s", error)
        if settings.fips:
            opened.seals.require_approved()
        _ensure_account(opened, settings)
        for problem in opened.profiles.problems():
            logger.warning("%s", problem)


def _web_identities(settings: Settings) -> WebIdentities:
    fetched = FetchedKeys(fetch_keys) if settings.fetch_identity_provider_keys else None
    return WebIdentities(settings.identity_providers, settings.identity_provider_keys, fetched)


def _is_local(node: NodeId | None, writer: str) -> bool:
    """Tell whether a writer's chain may be in the audit folder of a node, so that its end can be read there."""
    found = parse_writer(writer)
    return found is not None and found.is_of(node)


def _ensure_account(opened: OpenFolder, settings: Settings) -> None:
    """Make the account and its root access key at the first start; raises DataFolderError if other accounts exist."""
    try:
        with opened.store.read() as reader:
            if reader.account(settings.account) is not None:
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
                f"`{opened.folder.database}` has keys and no account: its accounts are lost; restore it from a backup"
            )
    opened.registrar.create_account(settings.account, settings.regions[0], "default")
