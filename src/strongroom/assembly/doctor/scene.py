"""What checks look at: the settings, and the parts of a data folder, each opened once, only to be read."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar, cast, runtime_checkable

import msgspec

from strongroom.assembly.audit_log import existing_audit_key
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.databases.chosen import database_of
from strongroom.assembly.databases.database import Database, ReadStore
from strongroom.assembly.databases.sqlite import SqliteDatabase
from strongroom.assembly.domain_key_following import follow_domain_keys
from strongroom.assembly.seal_documents import stored_document
from strongroom.assembly.served_regions import opened_scopes
from strongroom.assembly.tokens import ConfiguredToken
from strongroom.assembly.unsealing import Unsealing, while_resealed
from strongroom.clock import DAY, Clock
from strongroom.crypto.audit_key import AuditPublicKey
from strongroom.crypto.domain_keys import IAM_SCOPE, DomainKeys
from strongroom.crypto.seal import Seal, SealedDomainKey, UnsealError
from strongroom.crypto.seals.document import SealDocument
from strongroom.crypto.seals.root_key import generation_of
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.entropy import Entropy
from strongroom.problems import Problems
from strongroom.settings import Settings, SettingsError
from strongroom.store.server_facts import ServerFacts

T = TypeVar("T")

Progress = Callable[[str, int], AbstractContextManager[Callable[[int], object]]]
"""Shows the progress of work of a length under a name. What it gives is called with what was done each time."""


@runtime_checkable
class _Closable(Protocol):
    def close(self) -> None: ...


class BlockedError(Exception):
    """What a check needs cannot be used. The check of the name ``because`` says why."""

    def __init__(self, because: str) -> None:
        super().__init__(because)
        self.because = because


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for. ``backup_age`` is the age in seconds from which on the last backup is too old."""

    quick: bool = False
    archives: Sequence[Path] = ()
    backup_age: float = 7 * DAY


class Scene:
    """One deployment, as far as it can be opened. Close it afterwards."""

    def __init__(  # noqa: PLR0913, PLR0917 - what one examination has to know
        self,
        settings: Settings | SettingsError,
        data: Path | None,
        options: Options,
        clock: Clock,
        entropy: Entropy,
        progress: Progress,
        unsealing: Unsealing | None = None,
    ) -> None:
        """Look at the folder ``data``; None if it is not known, because the ``settings`` cannot be read."""
        self.found_settings = settings
        self.data = data
        self.options = options
        self.clock = clock
        self.entropy = entropy
        self.progress = progress
        self.check = ""
        """The name of the check that runs."""
        self._made: dict[str, object] = {}
        self._unsealing = unsealing

    def close(self) -> None:
        """Close what was opened."""
        for made in self._made.values():
            if isinstance(made, _Closable):
                made.close()

    @property
    def settings(self) -> Settings:
        """The settings."""
        if isinstance(self.found_settings, SettingsError):
            raise BlockedError("settings")
        return self.found_settings

    @property
    def folder(self) -> DataFolder:
        """The data folder, which exists."""
        if self.data is None:
            raise BlockedError("settings")
        data = self.data
        return self._once("folder", lambda: _existing(self._database_in(data).folder))

    def _database_in(self, data: Path) -> Database:
        """Return the database of a data folder, also if the settings cannot be read."""
        if isinstance(self.found_settings, Settings):
            return database_of(self.found_settings, self.clock, self.entropy)
        return SqliteDatabase(DataFolder(data))

    @property
    def is_served(self) -> bool:
        """Whether a server uses the data folder."""
        folder = self.folder
        return self._once("server", folder.is_locked)

    @property
    def database(self) -> Database:
        """The database, which is there, although it may be damaged."""
        folder = self.folder
        return self._once("database", lambda: _existing_database(self._database_in(folder.path)))

    @property
    def store(self) -> ReadStore:
        """The database. Its rows are authenticated once ``domain_keys`` was opened."""
        database = self.database
        return self._once("schema", lambda: database.open_to_read(untouched=True))

    @property
    def server_facts(self) -> ServerFacts | None:
        """What the server of the database says of itself; None if the database has none."""
        database = self.database
        return self._once("database-server", database.server_facts, "server facts")

    @property
    def sealed(self) -> list[SealedDomainKey]:
        """The domain keys as they are stored, sealed by ``seal``."""
        return self._opened[0]

    @property
    def seal(self) -> Seal:
        """The root key's seal."""
        return self._opened[1]

    @property
    def seal_document(self) -> SealDocument | None:
        """The document of all seals; None if the root key is in a file alone."""
        return self._opened[2]

    @property
    def _opened(self) -> tuple[list[SealedDomainKey], Seal, SealDocument | None]:
        folder, store = self.folder, self.store
        # A seal may need it.
        _ = self.token
        if folder.is_shared:
            self.unsealing.document_of = partial(stored_document, store)

        def opened(_: object) -> tuple[list[SealedDomainKey], Seal, SealDocument | None]:
            sealed = _sealed_keys(folder, store)
            seal = self.unsealing.seal(folder, sealed)
            return sealed, seal, self.unsealing.document_of(folder, generation_of(sealed[0]))

        return self._once("root-key", lambda: while_resealed(store, opened), "seal")

    @property
    def unsealing(self) -> Unsealing:
        """What opens the seals."""
        if self._unsealing is None:
            # Settings that cannot be read must not keep the keys from being checked.
            known = Settings() if isinstance(self.found_settings, SettingsError) else self.found_settings
            self._unsealing = Unsealing(known, self.entropy)
        return self._unsealing

    @property
    def token(self) -> ConfiguredToken:
        """The hardware token of the settings, which is not connected yet."""
        return self._once("token", self._unconnected_token, "configured token")

    @property
    def domain_keys(self) -> DomainKeys:
        """The domain keys that this node opens, unsealed."""
        store, sealed, seal = self.store, self.sealed, self.seal
        found = self.found_settings
        scopes = None if isinstance(found, SettingsError) else opened_scopes(found)

        def unseal() -> DomainKeys:
            keys = DomainKeys(sealed, seal, self.entropy, self.token.wrapper(self.entropy), scopes)
            # A command may rotate them between this and the checks.
            follow_domain_keys(keys, self.folder, store, self.unsealing, Problems())
            if keys.rows_have_codes:
                store.authenticate(keys.row_keys)
            return keys

        return self._once("root-key", unseal, "domain keys")

    @property
    def usable_keys(self) -> DomainKeys:
        """The domain keys that this node opens; those that are in a hardware token are there and can be used."""
        keys, token = self.domain_keys, self.token
        if keys.in_token:
            self._once("token", lambda: token.require_all(keys.in_token), "token keys")
        return keys

    @property
    def audit_key(self) -> AuditPublicKey:
        """The public key of the audit log's checkpoints."""
        store, secrets = self.store, ServiceSecrets(self.domain_keys)

        def opened() -> AuditPublicKey:
            try:
                key = existing_audit_key(store, secrets)
            except UnsealError as error:
                raise UnsealError(f"the key of the audit log does not open ({error}); restore a backup") from None
            if key is None:
                raise DataFolderError("the database has no key of the audit log; restore it from a backup")
            return key.public()

        return self._once("root-key", opened, "audit key")

    def _unconnected_token(self) -> ConfiguredToken:
        lock = None if self.data is None else DataFolder(self.data).token_login
        # A check makes no file.
        return ConfiguredToken(self.unsealing, lock if lock is not None and lock.exists() else None)

    def _once(self, told_by: str, make: Callable[[], T], what: str = "") -> T:
        """Return what was made before, or make it now. The check ``told_by`` gets the error if that fails.

        Any other check is told that it cannot run; raises BlockedError.
        """
        name = what or told_by
        if name not in self._made:
            try:
                self._made[name] = make()
            except Exception as error:  # noqa: BLE001 - it is raised where it is told
                self._made[name] = error
        made = self._made[name]
        if not isinstance(made, Exception):
            return cast("T", made)
        if self.check == told_by:
            raise made
        raise BlockedError(told_by) from made


def _existing(folder: DataFolder) -> DataFolder:
    if not folder.path.is_dir():
        raise DataFolderError(f"`{folder.path}` does not exist, or is no folder; name the data folder in --data")
    return folder


def _existing_database(database: Database) -> Database:
    database.require_there()
    if not database.is_there():
        raise DataFolderError(database.remedy_if_missing())
    return database


def _sealed_keys(folder: DataFolder, store: ReadStore) -> list[SealedDomainKey]:
    with store.read() as reader:
        sealed = reader.domain_keys()
    if IAM_SCOPE not in {each.scope for each in sealed}:
        raise UnsealError(f"{folder.database_name} has no domain key `{IAM_SCOPE}`; restore it from a backup")
    return sealed
