"""Makes a backup of an open data folder, also while servers use it."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from strongroom import __version__
from strongroom.assembly.backups.files import new_dated_path, oldest, partial_file, publish, remove, require_free
from strongroom.assembly.backups.path_locks import path_lock
from strongroom.assembly.backups.records import BACKUP_EVENT, REMOVAL_EVENT, ranks_of_backups
from strongroom.assembly.backups.streams import ChunkSource, Progress, plaintext_of
from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.node import read_node_id, require_node_id
from strongroom.assembly.open_folder import OpenFolder
from strongroom.assembly.unsealing import while_resealed
from strongroom.audit.operator_events import KEY_SOURCE, OperatorEvent
from strongroom.backup.blocks import VERSION, BackupError, Row, SectionHead
from strongroom.backup.manifest import (
    DOMAIN_KEYS,
    SEAL_DOCUMENT,
    DatabaseEnd,
    DomainKeyId,
    Manifest,
    SectionSummary,
    SignedManifest,
    WriterCheckpoint,
    deployment_of,
    manifest_in,
)
from strongroom.backup.reader import BackupReader
from strongroom.backup.writer import Section, write_backup
from strongroom.clock import Clock
from strongroom.crypto.age.stream import Decryption, Encryption
from strongroom.crypto.domain_keys import unseal_domain_keys
from strongroom.crypto.seal import SealedDomainKey
from strongroom.crypto.seals.document import encode_document
from strongroom.crypto.seals.root_key import generation_of
from strongroom.entropy import Entropy
from strongroom.store.sql.history import EmptiedTableError
from strongroom.store.sql.sections import TableReader
from strongroom.store.sqlite.schema_version import SCHEMA

_SEALED = "domain_key"
"""The table of the sealed domain keys, one of those that come first."""
_PROGRESS = 1000
_MOST_NAMED = 1000
"""The most files that the record of a backup names. It counts all."""


class MadeBackup(msgspec.Struct, frozen=True):
    """A backup that was made and checked: its file, size in bytes, manifest, and the older ones that were removed."""

    path: Path
    size: int
    signed: SignedManifest
    removed: Sequence[Path]


class _Snapshot(msgspec.Struct, frozen=True):
    """One state of the database, the domain keys in it, and the sections of a backup that are not in its tables."""

    tables: TableReader
    sealed: Sequence[SealedDomainKey]
    secrets: Sequence[Section]


class BackupMaker:
    """Makes backups of an open data folder."""

    def __init__(self, opened: OpenFolder, clock: Clock, entropy: Entropy) -> None:
        self._opened = opened
        self._clock = clock
        self._entropy = entropy
        self._key = opened.audit_key()
        self._deployment = deployment_of(self._key.public().pem())

    def make(
        self,
        to: Path,
        encryption: Encryption | None,
        progress: Progress,
        *,
        with_domain_keys: bool = False,
        keep: int | None = None,
    ) -> MadeBackup:
        """Write one file, read it back, decrypt and check all of it, and give it its name.

        ``to`` is a folder, in which the backup is named after its date, or the new file. Of a folder's backups of this
        deployment, the ``keep`` newest stay. Without ``encryption`` the file is not encrypted. Raises DataFolderError,
        BackupError, AgeError, OSError.
        """
        if with_domain_keys and encryption is None:
            raise DataFolderError("a backup with domain keys opens every key, so it must be encrypted")
        if with_domain_keys and self._has_keys_in_token():
            raise DataFolderError(
                "the domain keys are in a hardware token, which never gives them away; leave out --with-domain-keys, "
                "and back up the token with its own tools"
            )
        if keep is not None and not to.is_dir():
            raise DataFolderError(
                f"`{to}` is not a folder, and --keep needs one; make it first, or choose another --to"
            )
        self._require_outside(to)
        with self._turn(to):
            target = self._target(to, encrypted=encryption is not None)
            old = [] if keep is None else self._oldest(target, keep)
            details: dict[str, object] = {
                "file": str(target),
                "encryption": "none" if encryption is None else encryption.kind,
                "withDomainKeys": with_domain_keys,
            }
            if keep is not None:
                details |= {"keep": keep, "removes": _listed(old)}
            with self._recording(details):
                try:
                    with partial_file(target) as file:
                        signed = self._write_and_check(
                            target, file, encryption, progress, with_domain_keys=with_domain_keys
                        )
                        size = os.fstat(file.fileno()).st_size
                        publish(target)
                except OSError as error:
                    raise DataFolderError(f"`{target}` cannot be written: {error.strerror or error}") from error
            return MadeBackup(target, size, signed, self._remove(target, old))

    def _oldest(self, target: Path, keep: int) -> list[Path]:
        """Return the backups that go when ``target`` was made."""
        folder = self._opened.folder
        names = {each.name for each in target.parent.iterdir()}
        ranks = ranks_of_backups(folder, require_node_id(folder), names)
        return oldest(target.parent, names, self._deployment, keep, ranks, target)

    def _remove(self, target: Path, old: Sequence[Path]) -> Sequence[Path]:
        """Remove older backups, as the record says; raises DataFolderError if one cannot be removed."""
        try:
            return remove(target.parent, old)
        except OSError as error:
            left = [each for each in old if each.exists()]
            event = _event(REMOVAL_EVENT, {"backup": str(target), "left": _listed(left)})
            with suppress(DataFolderError), self._opened.trail.changing():
                self._opened.trail.note_failure(event, error)
            raise DataFolderError(f"`{target}` was made, but an older backup cannot be removed: {error}") from error

    def _write_and_check(
        self,
        target: Path,
        file: BinaryIO,
        encryption: Encryption | None,
        progress: Progress,
        *,
        with_domain_keys: bool,
    ) -> SignedManifest:
        """Write the backup, and read it back as it is in the file; return its manifest."""
        # Before the state is read: what is destroyed meanwhile must not seem to have been destroyed before.
        at = self._clock.now()
        with self._snapshot(with_domain_keys=with_domain_keys) as snapshot:
            encoded = self._write(snapshot, at, file, encryption, progress, with_domain_keys=with_domain_keys)
        signed = _check(file, None if encryption is None else encryption.check(), progress)
        if signed.encoded != encoded:
            raise BackupError(f"`{target}` was read back and is not what was written")
        return signed

    @contextmanager
    def _turn(self, to: Path) -> Iterator[None]:
        """Let one backup at a time of a deployment be made in a folder: each of two would remove the other's.

        Raises DataFolderError if another is being made there.
        """
        if not to.is_dir():
            yield
            return
        taken = f"another backup is being made in `{to}`; wait for its end, or choose another --to"
        with path_lock(to / f".strongroom-{self._deployment}.lock", taken):
            yield

    @contextmanager
    def _recording(self, details: Mapping[str, object]) -> Iterator[None]:
        """Record that a backup is made, and afterwards if it failed; raises DataFolderError if that is impossible.

        Other commands need not wait while it is made.
        """
        event = _event(BACKUP_EVENT, details)
        trail = self._opened.trail
        with trail.changing(), trail.recording(event):
            pass
        try:
            yield
        except BaseException as error:
            with suppress(DataFolderError), trail.changing():
                trail.note_failure(event, error)
            raise

    def _require_outside(self, to: Path) -> None:
        """Refuse a place that does not exist, or that is in the data folder; raises DataFolderError."""
        folder = to if to.is_dir() else to.parent
        if not folder.is_dir():
            raise DataFolderError(f"`{folder}` is not a folder; make it first, or choose another --to")
        data = self._opened.folder.path
        if folder.resolve().is_relative_to(data.resolve()):
            raise DataFolderError(f"`{folder}` is in the data folder, and would be lost with it; choose another --to")

    def _target(self, to: Path, *, encrypted: bool) -> Path:
        """Return the path of the new file; raises DataFolderError if its name is taken."""
        if to.is_dir():
            return new_dated_path(to, self._deployment, self._clock.now(), encrypted=encrypted)
        require_free(to)
        return to

    @contextmanager
    def _snapshot(self, *, with_domain_keys: bool) -> Iterator[_Snapshot]:
        """Read one state of the database, and the seals that belong to it, which are elsewhere."""

        def begin(_: object) -> tuple[ExitStack, _Snapshot]:
            with ExitStack() as stack:
                tables = stack.enter_context(self._opened.store.read_tables())
                sealed = _sealed_keys(tables)
                given = self._domain_keys(sealed) if with_domain_keys else []
                return stack.pop_all(), _Snapshot(tables, sealed, [*given, *self._seal_document(sealed)])

        stack, snapshot = while_resealed(self._opened.store, begin)
        with stack:
            yield snapshot

    def _write(
        self,
        snapshot: _Snapshot,
        at: float,
        file: BinaryIO,
        encryption: Encryption | None,
        progress: Progress,
        *,
        with_domain_keys: bool,
    ) -> bytes:
        """Write the backup and sync it; return its manifest, encoded."""
        tables = snapshot.tables
        sizes, ends = tables.tables(), _ends(tables)
        total = 2 * sum(each.rows for each in sizes)
        columns = {each.head.name: each.head.columns for each in sizes}
        checkpoints = [_checkpoint(row, columns["audit_checkpoint"]) for row in tables.rows("audit_checkpoint")]
        of_tables = [Section(each.head, _counted(tables.rows(each.head.name), total, progress)) for each in sizes]
        written: list[bytes] = []

        def manifest(summaries: tuple[SectionSummary, ...]) -> Manifest:
            return Manifest(
                format=VERSION,
                release=__version__,
                schema=SCHEMA,
                deployment=self._deployment,
                node=read_node_id(self._opened.folder) or "",
                at=at,
                sections=summaries,
                domain_keys=tuple(DomainKeyId(each.scope, each.version) for each in snapshot.sealed),
                with_domain_keys=with_domain_keys,
                checkpoints=tuple(checkpoints),
                ends=ends,
            )

        def sign(message: bytes) -> bytes:
            written.append(message)
            return self._key.sign(message)

        chunks = write_backup([*snapshot.secrets, *of_tables], manifest, sign)
        if encryption is None:
            file.writelines(chunks)
        else:
            encryption.encrypt(ChunkSource(chunks), file)
        file.flush()
        os.fsync(file.fileno())
        return manifest_in(written[0])

    def _has_keys_in_token(self) -> bool:
        """Tell whether a domain key of any Region needs a token, also of one that is not served here."""

        def is_any_there(sealed: Sequence[SealedDomainKey]) -> bool:
            seal = self._opened.unsealing.seal(self._opened.folder, sealed)
            return any(unseal_domain_keys([each], seal)[0].object_id is not None for each in sealed)

        return while_resealed(self._opened.store, is_any_there)

    def _domain_keys(self, sealed: Sequence[SealedDomainKey]) -> list[Section]:
        """Return the section of the unsealed domain keys."""
        opened = unseal_domain_keys(sealed, self._opened.unsealing.seal(self._opened.folder, sealed))
        rows = [(each.scope, each.version, each.key) for each in opened]
        return [Section(SectionHead(DOMAIN_KEYS, ("scope", "version", "key")), rows)]

    def _seal_document(self, sealed: Sequence[SealedDomainKey]) -> list[Section]:
        """Return the section of the seal document; none if the root key is in a file alone."""
        document = self._opened.unsealing.document_of(self._opened.folder, generation_of(sealed[0]))
        if document is None:
            return []
        return [Section(SectionHead(SEAL_DOCUMENT, ("content",)), [(encode_document(document),)])]


def _event(name: str, details: Mapping[str, object]) -> OperatorEvent:
    return OperatorEvent(name=name, command="backup", source=KEY_SOURCE, details=details)


def _listed(files: Sequence[Path]) -> dict[str, object]:
    return {"count": len(files), "files": [each.name for each in files[:_MOST_NAMED]]}


def _check(file: BinaryIO, decryption: Decryption | None, progress: Progress) -> SignedManifest:
    """Read a backup that was written, from its beginning; return its manifest. Raises BackupError, AgeError."""
    file.seek(0)
    with plaintext_of(file, decryption) as read:
        reader = BackupReader(read)
        for section in reader.sections():
            for rows in section.batches:
                progress(len(rows), 0)
        return reader.signed_manifest


def _ends(tables: TableReader) -> DatabaseEnd | None:
    """Return where the database is, None if that is damaged: a backup is made all the same."""
    try:
        return msgspec.convert(msgspec.structs.asdict(tables.database_position()), DatabaseEnd)
    except (EmptiedTableError, msgspec.ValidationError):
        return None


def _counted(rows: Iterable[Row], total: int, progress: Progress) -> Iterator[Row]:
    """Yield rows, and report progress."""
    for number, row in enumerate(rows, 1):
        if not number % _PROGRESS:
            progress(_PROGRESS, total)
        yield row


def _sealed_keys(tables: TableReader) -> list[SealedDomainKey]:
    columns = next(each.head.columns for each in tables.tables(frozenset()) if each.head.name == _SEALED)
    return [SealedDomainKey(*_picked(row, columns, ("scope", "version", "sealed"))) for row in tables.rows(_SEALED)]


def _checkpoint(row: Row, columns: Sequence[str]) -> WriterCheckpoint:
    writer, statement, signature, stopped = _picked(row, columns, ("writer", "statement", "signature", "stopped"))
    # A damaged one is passed on as far as it can be: no signature is valid for it, and a restore says so.
    text = statement.decode(errors="replace") if isinstance(statement, bytes) else ascii(statement)
    return WriterCheckpoint(str(writer), text, signature if isinstance(signature, bytes) else b"", bool(stopped))


def _picked(row: Row, columns: Sequence[str], names: Sequence[str]) -> list[Any]:
    """Return the values of some columns of a row."""
    return [row[columns.index(name)] for name in names]
