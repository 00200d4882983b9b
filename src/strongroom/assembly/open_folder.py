"""Opens a data folder: its database, its domain keys, and the back ends that serve and change it."""

from contextlib import ExitStack, closing
from functools import partial

from strongroom.assembly.audit_log import last_checkpoint, open_audit_key
from strongroom.assembly.clock_record import ClockFiles
from strongroom.assembly.command_trail import CommandTrail
from strongroom.assembly.database_history import require_all_committed
from strongroom.assembly.databases.chosen import database_of
from strongroom.assembly.domain_key_following import follow_domain_keys
from strongroom.assembly.domain_key_rotation import DomainKeyRotation
from strongroom.assembly.domain_keys import Protection, open_domain_keys
from strongroom.assembly.event_chores import key_events_of
from strongroom.assembly.key_back_ends import open_key_backends
from strongroom.assembly.key_policies import KeyPolicies
from strongroom.assembly.node import claim_old_writers, ensure_node_id, read_node_id, require_not_retired
from strongroom.assembly.profiles import Profiles
from strongroom.assembly.provider_keys import ProviderKeys
from strongroom.assembly.registrar import Registrar
from strongroom.assembly.rewrapping import Rewrapping
from strongroom.assembly.root_keys import RootKeys
from strongroom.assembly.row_authentication import authenticate_rows
from strongroom.assembly.seal_documents import stored_document
from strongroom.assembly.seals import Seals
from strongroom.assembly.served_regions import opened_scopes
from strongroom.assembly.tokens import ConfiguredToken, key_backend_of
from strongroom.assembly.unsealing import Unsealing
from strongroom.audit.writer_id import parse_writer
from strongroom.clock import Clock
from strongroom.crypto.audit_key import AuditKey
from strongroom.crypto.documents.attestation import Attestations
from strongroom.crypto.documents.fetched_keys import FetchedKeys, fetch_keys
from strongroom.crypto.documents.web_identity import WebIdentities
from strongroom.crypto.self_tests.run import require_self_tests
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.crypto.software.private_keys import SoftwareDataKeyPairs
from strongroom.crypto.software.random_source import SoftwareRandomSource
from strongroom.entropy import CheckedEntropy, Entropy
from strongroom.maintenance.clock_watch import ClockWatch
from strongroom.node_id import NodeId
from strongroom.operations.context import Backends
from strongroom.operations.kms.table import TABLE
from strongroom.problems import Problems
from strongroom.settings import Settings
from strongroom.snapshot.loaded_keys import LoadedKeys
from strongroom.snapshot.snapshot import Snapshot
from strongroom.store.audit.tail import AuditTail
from strongroom.usage.key_usage import KeyUses

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
        first: bool = False,
        serving: bool = False,
        also_older: bool = False,
        every_region: bool = False,
        development: bool = False,
    ) -> None:
        """Open the store and unseal the domain keys.

        ``taken`` is True in the process that has locked the folder: it first makes or upgrades the database, the keys
        of all Regions and the node's identity. A database that nodes share must be there, and must have keys unless
        this process is to make the ``first`` ones. In any other process the database must have this release's schema
        already. ``serving`` is True in a process that caches what it reads. ``also_older`` opens a database also if it
        lacks what the audit log says was committed. ``every_region`` opens the domain keys of all Regions, also
        of those that other nodes serve. ``development`` is for ``strongroom dev`` alone, whose folders all others
        refuse. ``unsealing`` opens the root key; by default, it asks for no passphrase.
        Raises SettingsError, DataFolderError, UnsealError, SealUnavailableError, UnknownSchemaError, and SelfTestError
        before anything else.
        """
        require_self_tests()
        self.entropy = entropy = CheckedEntropy(entropy)
        attestations = Attestations(settings.attestation_roots, settings.attestation_age, settings.clock_skew)
        self.database = database = database_of(settings, clock, entropy)
        self.folder = database.folder
        if not development:
            self.folder.require_production()
        self.problems = problems or Problems()
        if taken:
            database.prepare(serve_damaged=settings.serve_damaged, first=first)
        with ExitStack() as undo:
            opening = database.open_to_serve if serving else database.open
            self.store = store = undo.enter_context(closing(opening(self.problems)))
            if not also_older:
                require_all_committed(database, store)
            self.unsealing = unsealing = unsealing or Unsealing(settings, entropy)
            if database.is_shared:
                unsealing.document_of = partial(stored_document, store)
            new_regions = settings.regions if taken else ()
            self.token = ConfiguredToken(unsealing, self.folder.token_login, problems)
            undo.callback(self.token.close)
            protection = Protection(self.token, settings.key_protection, required=taken)
            self.unsealed_keys = domain_keys = open_domain_keys(
                self.folder,
                store,
                new_regions,
                unsealing,
                entropy,
                protection,
                now=clock.now(),
                scopes=None if every_region else opened_scopes(settings),
            )
            follow_domain_keys(domain_keys, self.folder, store, unsealing, self.problems, clock.timer)
            authenticate_rows(self.folder, store, domain_keys, self.problems, unsealing, taken=taken)
            secrets = ServiceSecrets(domain_keys)
            default = key_backend_of(self.token, domain_keys, entropy, approved_only=settings.fips)
            self.back_ends = back_ends = undo.enter_context(
                closing(open_key_backends(default, secrets, settings, store, clock, entropy))
            )
            key_backends, key_stores = back_ends.key_backends, back_ends.key_stores
            if taken:
                node = ensure_node_id(self.folder, entropy)
                require_not_retired(self.folder, store, node)
                claim_old_writers(self.folder, store, node)
            self.clock_watch = ClockWatch(
                clock, ClockFiles(self.folder), self.problems, last_checkpoint(store), store.time
            )
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
                    loaded_keys=LoadedKeys(settings.loaded_keys, settings.loaded_keys_time, clock.uptime),
                ),
                entropy=entropy,
                web_identities=_web_identities(settings),
                attestations=attestations,
                key_uses=KeyUses(
                    store, AuditTail(self.folder.audit), _USES, partial(_is_local, read_node_id(self.folder)), clock.now
                ),
                managed_rotation_days=settings.managed_rotation_days,
                customer_keys=settings.customer_keys,
                regions=settings.regions,
                latest_time=self.clock_watch.latest,
                events=key_events_of(settings, clock),
            )
            self.trail = CommandTrail(database, store, secrets, settings, clock, entropy)
            # What a first start makes is no change of an operator's.
            self.registrar = Registrar(self.folder, store, secrets, clock, entropy, None if taken else self.trail)
            self.root_keys = RootKeys(self.folder, store, secrets, clock, entropy, self.trail)
            self.provider_keys = ProviderKeys(store, self.trail)
            self.key_policies = KeyPolicies(store, self.trail)
            self.seals = Seals(
                self.folder, store, unsealing, self.trail, entropy, self.token, clock=clock, approved_only=settings.fips
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

    def audit_key(self) -> AuditKey:
        """Return the audit key, made at the first start; raises UnsealError if it was not wrapped here, or is lost."""
        return open_audit_key(self.store, self.backends.secrets, self.entropy, self.folder.audit)

    def close(self) -> None:
        """Close the database, the connections to tokens, and those to external key store proxies."""
        self.back_ends.close()
        self.store.close()
        self.token.close()


def open_existing(  # noqa: PLR0913 - as ``OpenFolder``
    settings: Settings,
    clock: Clock,
    entropy: Entropy,
    *,
    unsealing: Unsealing | None = None,
    serving: bool = False,
    also_older: bool = False,
    every_region: bool = False,
) -> OpenFolder:
    """Open a data folder that a server has made, whether the server runs or not.

    ``serving`` is for a process that caches what it reads.
    ``also_older`` is for commands that tell of a database that was rolled back, ``every_region`` for those that read
    the key material of all Regions. Raises DataFolderError if there is no data
    folder, if it belongs to another user, or if a server of another release is using it.
    """
    database = database_of(settings, clock, entropy)
    database.folder.require_own()
    database.require_current()
    return OpenFolder(
        settings,
        clock,
        entropy,
        unsealing=unsealing,
        serving=serving,
        also_older=also_older,
        every_region=every_region,
    )


def _web_identities(settings: Settings) -> WebIdentities:
    fetched = FetchedKeys(fetch_keys) if settings.fetch_identity_provider_keys else None
    return WebIdentities(settings.identity_providers, settings.identity_provider_keys, fetched)


def _is_local(node: NodeId | None, writer: str) -> bool:
    """Tell whether a writer's chain may be in the audit folder of a node, so that its end can be read there."""
    found = parse_writer(writer)
    return found is not None and found.is_of(node)
