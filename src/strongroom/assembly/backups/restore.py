"""Restores a backup into a new data folder: verified, loaded, settled, opened key by key, and put in place."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from strongroom.assembly.audit_log import open_audit_key, open_audit_log
from strongroom.assembly.backups.destroyed_since import destroyed_since
from strongroom.assembly.backups.restored_database import Filled, Given, Outcome, RestoredRootKey, fill, filled_before
from strongroom.assembly.backups.restored_folder import RestoredFolder, require_empty, restored_folder
from strongroom.assembly.backups.restored_state import RestoredState, Settled
from strongroom.assembly.backups.root_key_source import RootKeyKind, RootKeySource
from strongroom.assembly.backups.streams import Progress, plaintext_of
from strongroom.assembly.backups.verification import (
    OpenedContent,
    Origin,
    VerifiedBackup,
    open_everything,
    verify_backup,
)
from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.key_back_ends import loading_key_backends
from strongroom.assembly.node import ensure_node_id
from strongroom.assembly.relocation.copying import Keys
from strongroom.assembly.restored_objects import leave_uncommitted, note_shared_objects, tell_of_left
from strongroom.assembly.row_authentication import authenticate_rows
from strongroom.assembly.tokens import ConfiguredToken
from strongroom.assembly.unsealing import Unsealing
from strongroom.audit.database_history import HISTORY_ID_LENGTH
from strongroom.audit.writer_id import WriterId
from strongroom.backup.blocks import BackupError, SectionHead
from strongroom.backup.destructions import Destructions
from strongroom.backup.manifest import DOMAIN_KEYS, SEAL_DOCUMENT
from strongroom.backup.reader import BackupReader
from strongroom.clock import Clock
from strongroom.crypto.age.passphrase import PassphraseDecryption
from strongroom.crypto.age.stream import Decryption
from strongroom.crypto.audit_key import AuditPublicKey
from strongroom.crypto.domain_keys import DomainKeys, OpenDomainKey, seal_domain_keys
from strongroom.crypto.seal import SealedDomainKey
from strongroom.crypto.seals.file import create_root_key
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.entropy import Entropy
from strongroom.keys.arns import KeyLocator
from strongroom.problems import Problems
from strongroom.settings import Settings
from strongroom.store.scopes import AccountScope
from strongroom.store.sqlite.engine import open_sqlite
from strongroom.store.sqlite.restored import new_database
from strongroom.store.sqlite.schema_version import UnknownSchemaError, upgrade
from strongroom.store.sqlite.store import SqlStore

if TYPE_CHECKING:
    from strongroom.assembly.databases.postgresql import PostgresqlDatabase


class RestoreRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to restore, and how.

    ``root_key`` is a copy of ``root.key``, of the key file of a seal, or of ``seal.json``, which ``unsealing`` opens.
    None to have a seal in the backup open it; if none does, and the domain keys are in the backup, a new root key is
    made. ``audit`` are the folders of the deployment's audit logs, None to do
    without. ``bring_back`` are keys that were destroyed after the backup and are wanted all the same. ``any_origin``
    restores a backup of which nothing shows who made it, ``damaged_keys`` one in which some keys do not open.
    ``database`` is an empty PostgreSQL database that is to have the state; None to have it in the data folder.
    """

    file: Path
    decryption: Decryption | None
    data: Path
    root_key: Path | None
    unsealing: Unsealing
    audit_public_key: AuditPublicKey | None = None
    audit: Sequence[Path] | None
    bring_back: Sequence[str] = ()
    any_origin: bool = False
    damaged_keys: bool = False
    database: "PostgresqlDatabase | None" = None


class RestoredBackup(msgspec.Struct, frozen=True):
    """The result of a restore."""

    verified: VerifiedBackup
    settled: Settled
    content: OpenedContent
    accounts: Sequence[str]
    root_key: RestoredRootKey
    in_token: bool = False
    """Whether its keys need a hardware token, which the deployment that was backed up may use as well."""


class Restore:
    """One restore. ``bar(label, total)`` begins a progress bar and returns how to advance it."""

    def __init__(
        self, request: RestoreRequest, clock: Clock, entropy: Entropy, bar: Callable[[str, int], Progress]
    ) -> None:
        self._request = request
        self._clock = clock
        self._entropy = entropy
        self._bar = bar
        self._root_key = RootKeySource(request.root_key, request.unsealing, entropy, may_lack=True)

    def run(self) -> RestoredBackup:
        """Restore the backup. If this raises, or the process is killed, there is no data folder, or an empty one.

        A restore into PostgreSQL that was killed when that had all rows is finished. Raises DataFolderError (also for a
        full disk), BackupError, AgeError, UnsealError, OSError.
        """
        request = self._request
        require_empty(request.data)
        with request.file.open("rb") as file:
            verified = self._verify(file)
            destroyed = self._destroyed(verified)
            with restored_folder(request.data) as place:
                filled = filled_before(place, request.database, self._given(verified), self._entropy)
                if filled is not None:
                    restored = RestoredBackup(verified, *msgspec.structs.astuple(filled.restored))
                else:
                    left_out = self._load(file, verified, place)
                    restored = self._settle(verified, destroyed, place, left_out)
                place.publish(with_database=request.database is None)
        return restored

    def _verify(self, file: BinaryIO) -> VerifiedBackup:
        request = self._request
        progress = self._bar("Verifying", os.fstat(file.fileno()).st_size)
        found = verify_backup(
            file,
            request.decryption,
            self._root_key,
            request.audit_public_key,
            self._entropy,
            progress,
            open_all=False,
        )
        if found.domain_keys is None:
            raise DataFolderError(
                "the backup has neither seals nor domain keys, so its root key is needed; give --root-key"
            )
        # To make a file that a passphrase opens, one has to know it. A recipient is public.
        if (
            found.origin is Origin.UNKNOWN
            and not request.any_origin
            and not isinstance(request.decryption, PassphraseDecryption)
        ):
            closed = f", and no seal in it opens ({found.closed_seals})" if found.closed_seals else ""
            raise DataFolderError(
                f"nothing shows who made this backup{closed}: anyone who knows the recipient can make one; give "
                "--root-key or --audit-public-key, or --any-origin if you trust the file itself"
            )
        return found

    def _destroyed(self, verified: VerifiedBackup) -> Destructions | None:
        if self._request.audit is None:
            return None
        assert verified.audit_key is not None  # noqa: S101 - for the type checker: there are domain keys
        progress = self._bar("Reading the audit log", 0)
        return destroyed_since(self._request.audit, verified.signed.manifest, verified.audit_key, progress)

    def _load(
        self, file: BinaryIO, verified: VerifiedBackup, place: RestoredFolder
    ) -> Mapping[tuple[str, KeyLocator | None], int]:
        """Make the root key, the node's identity and the database; return what is left out. Raises BackupError."""
        request, signed = self._request, verified.signed
        if verified.root_key is None:
            create_root_key(place.folder.root_key, self._entropy)
        else:
            verified.root_key.install(place.folder)
        ensure_node_id(place.folder, self._entropy)
        progress = self._bar("Restoring", sum(each.rows for each in signed.manifest.sections))
        file.seek(0)
        try:
            with (
                plaintext_of(file, request.decryption) as read,
                new_database(place.database, signed.manifest.schema) as tables,
            ):
                reader = BackupReader(read)
                for section in reader.sections():
                    for rows in section.batches:
                        if section.name not in {DOMAIN_KEYS, SEAL_DOCUMENT}:
                            tables.insert(SectionHead(section.name, section.columns), rows)
                        progress(len(rows), 0)
                if reader.signed_manifest.digest != signed.digest:
                    raise BackupError(f"`{request.file}` was changed while it was restored")
                if verified.root_key is None:
                    tables.reseal(self._resealed(verified.domain_keys or (), place))
        except UnknownSchemaError:
            raise BackupError(
                f"the backup was made by release {signed.manifest.release}, which is newer: its schema "
                f"{signed.manifest.schema} is not known here; restore it with that release"
            ) from None
        upgrade(place.database)
        return tables.left_out

    def _settle(
        self,
        verified: VerifiedBackup,
        destroyed: Destructions | None,
        place: RestoredFolder,
        left_out: Mapping[tuple[str, KeyLocator | None], int],
    ) -> RestoredBackup:
        """Make the changes and the record of the restore, open everything, and check every record."""
        request, entropy = self._request, self._entropy
        with (
            closing(SqlStore(open_sqlite(place.database))) as store,
            closing(ConfiguredToken(request.unsealing)) as token,
        ):
            with store.read() as reader:
                sealed = reader.domain_keys()
            seal = request.unsealing.seal(place.folder, sealed)
            domain_keys = DomainKeys(sealed, seal, entropy, token.wrapper(entropy))
            if domain_keys.in_token:
                token.require_all(domain_keys.in_token)
            authenticate_rows(place.folder, store, domain_keys, Problems(), request.unsealing, taken=True)
            note_shared_objects(place.folder, store, domain_keys.in_token)
            tell_of_left(store.write(leave_uncommitted))
            with store.read() as reader:
                accounts = [record.account for record in reader.accounts()]
            store.write(lambda transaction: transaction.forget_audit_writers())
            # Its log is later than that of the database that was backed up, and than those from before that.
            ends, history_id = verified.signed.manifest.ends, entropy(HISTORY_ID_LENGTH).hex()
            after = 0 if ends is None else ends.history
            store.write(lambda transaction: transaction.begin_history(history_id, after), AccountScope(""))
            key = open_audit_key(store, ServiceSecrets(domain_keys), entropy, place.folder.audit)
            settings = Settings(durability="fsync")
            writer = WriterId(ensure_node_id(place.folder, entropy), None).name
            log = open_audit_log(place.folder.audit, writer, settings, store, key, self._clock)
            with closing(log):
                backends = loading_key_backends(domain_keys, entropy, self._clock, token)
                state = RestoredState(store, backends, log, verified.signed, self._clock.now(), entropy)
                settled = state.settle(destroyed, request.bring_back, self._facts(verified))
            store.scrub()
            with store.read_tables() as tables:
                content = open_everything(tables, seal, token, entropy, self._bar("Opening every key", 0))
            with store.read() as reader:
                # Whether material opens is known already.
                changed = [each.record for each in reader.findings(lambda *_: True)]
            content = content.with_damaged([*_named(left_out, destroyed, settled), *changed])
            if content.damaged_count and not request.damaged_keys:
                raise BackupError(
                    f"{content.damaged_count} keys, secrets or other records in the backup do not open or are not as "
                    f"they were written, first {content.damaged[0]}; --damaged-keys restores all others"
                )
            restored = Outcome(settled, content, accounts, _root_key_of(verified), bool(domain_keys.in_token))
            if request.database is not None:
                keys = Keys(domain_keys.row_keys, backends)
                filled = Filled(
                    database=request.database.folder.database_name,
                    history_id=history_id,
                    given=self._given(verified),
                    restored=restored,
                )
                bar = self._bar("Filling the database", 0)
                fill(request.database, place, store, keys, filled, entropy, progress=bar)
        return RestoredBackup(verified, *msgspec.structs.astuple(restored))

    def _given(self, verified: VerifiedBackup) -> Given:
        request = self._request
        return Given(
            backup=verified.signed.digest,
            root_key=request.root_key is not None,
            audit=None if request.audit is None else sorted({str(each.resolve()) for each in request.audit}),
            bring_back=sorted({*request.bring_back}),
            any_origin=request.any_origin,
            damaged_keys=request.damaged_keys,
        )

    def _resealed(self, keys: Sequence[OpenDomainKey], place: RestoredFolder) -> list[SealedDomainKey]:
        return seal_domain_keys(keys, self._request.unsealing.seal(place.folder, ()))

    def _facts(self, verified: VerifiedBackup) -> dict[str, object]:
        request = self._request
        return {
            "rootKey": _root_key_of(verified).kind.value,
            "originVerifiedWith": verified.origin.value,
            "auditLog": "not given" if request.audit is None else "read",
        }


def _root_key_of(verified: VerifiedBackup) -> RestoredRootKey:
    """Return where the root key comes from. Without one that opened, a new one is made for the domain keys."""
    found = verified.root_key
    if found is None:
        return RestoredRootKey(RootKeyKind.NEW, {}, verified.closed_seals)
    return RestoredRootKey(found.kind, found.without_key_file(), "")


def _named(
    left_out: Mapping[tuple[str, KeyLocator | None], int], destroyed: Destructions | None, settled: Settled
) -> list[str]:
    """Return what was left out, but for the records of keys that are destroyed: none of those should be restored."""
    gone = set() if destroyed is None else destroyed.keys - set(settled.brought_back)
    counts = Counter[str]()
    for (name, key), rows in left_out.items():
        if key is None or key.arn not in gone:
            counts[name] += rows
    return [f"{rows} of the records in `{name}`" for name, rows in counts.items()]
