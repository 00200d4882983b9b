"""The data folder: the files that a first start makes and every start checks.

::

    DATA/               0700, locked by the running server
      strongroom.db     SQLite: keys (wrapped), policies, aliases, tags, access keys (wrapped)
      strongroom.db-writer       empty; locked by the process that writes
      root.key          0600, the root key that seals the domain keys
      node-id           0600, the identity of this node, made at its first start
      credentials       0600, access keys of account roots and services, for AWS clients
      env.sh, env.fish  0600, shell commands that point AWS clients at the server, written by each start
      registering       empty; locked by the command that makes an account or a service
      audit/            0700, a line for each call, in segments
      metrics/          0700, a socket of each worker, 0600, over which it sends the others its metrics
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from strongroom.crypto.domain_keys import DomainKeys, create_domain_key
from strongroom.crypto.seal import Seal, SealedDomainKey, UnsealError
from strongroom.crypto.seals.file import create_root_key, load_file_seal
from strongroom.crypto.service_secrets import IAM_SCOPE
from strongroom.entropy import Entropy
from strongroom.store.protocol import Store, Transaction
from strongroom.store.scopes import AccountScope
from strongroom.store.sqlite.engine import open_sqlite
from strongroom.store.sqlite.migrate import has_this_schema, upgrade
from strongroom.store.sqlite.read_only import ReadOnlyStore, UnreadableStoreError, open_read_only
from strongroom.store.sqlite.store import SqlStore

_FIRST_VERSION = 1


class DataFolderError(Exception):
    """The data folder cannot be used; the message says why and what to do."""


class DataFolder:
    """The paths of one data folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = path / "strongroom.db"
        self.root_key = path / "root.key"
        self.node_id = path / "node-id"
        self.credentials = path / "credentials"
        self.client_environment = path / "env.sh"
        self.client_environment_fish = path / "env.fish"
        self.audit = path / "audit"
        self._registering = path / "registering"

    def lock(self) -> int:
        """Make the folder if needed and lock it for this process.

        Returns the lock's file descriptor, to be kept open. Raises DataFolderError when another server has it.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The folder itself is locked: if a lock file were deleted, a second server could start.
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise DataFolderError(
                f"another server is using `{self.path}`; stop it first, or choose another --data"
            ) from None
        return descriptor

    @contextmanager
    def registering(self) -> Iterator[None]:
        """Keep other commands from registering at the same time. It waits for a command that does."""
        descriptor = os.open(self._registering, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def open_store(folder: DataFolder) -> SqlStore:
    """Open the database, which has this release's schema."""
    return SqlStore(open_sqlite(folder.database))


def upgrade_unused(folder: DataFolder) -> None:
    """Bring the database to this release's schema, if it has another one and no server has the folder.

    While a server of another release runs, the database is left as it is: rows that this server still writes would lack
    columns that this release needs. Raises DataFolderError then, and UnknownSchemaError for the database of a newer
    release.
    """
    if has_this_schema(folder.database):
        return
    try:
        lock = folder.lock()
    except DataFolderError:
        raise DataFolderError(
            f"a server of another release is using `{folder.path}`; stop it first, or use the commands of its release"
        ) from None
    try:
        upgrade(folder.database)
    finally:
        os.close(lock)


def open_store_to_read(folder: DataFolder) -> ReadOnlyStore:
    """Open the database and change nothing; raises UnknownSchemaError, and DataFolderError if it cannot be read."""
    try:
        return open_read_only(folder.database)
    except UnreadableStoreError as error:
        raise DataFolderError(f"`{folder.database}`, or a file beside it, cannot be read: {error}") from None


def open_domain_keys(folder: DataFolder, store: Store, regions: Sequence[str], entropy: Entropy) -> DomainKeys:
    """Unseal the domain keys, and make one for each of ``regions`` that has none.

    Raises DataFolderError if the root key is missing, UnsealError if it is not the one that sealed them.
    """
    with store.read() as reader:
        sealed = reader.domain_keys()
    seal = _open_seal(folder, sealed, entropy)
    known = {each.scope for each in sealed}
    new = [
        create_domain_key(scope, _FIRST_VERSION, seal, entropy) for scope in (IAM_SCOPE, *regions) if scope not in known
    ]
    if new:
        sealed = _add_missing(store, new)
    try:
        return DomainKeys(sealed, seal, entropy)
    except UnsealError as error:
        problem = f"`{folder.root_key}` is not the root key of `{folder.database}`; restore the file that belongs to it"
        raise UnsealError(f"{problem} ({error})") from None


def _add_missing(store: Store, new: Sequence[SealedDomainKey]) -> list[SealedDomainKey]:
    """Store new domain keys of scopes that have none yet; return all stored ones, sealed."""

    def add_if_missing(transaction: Transaction) -> list[SealedDomainKey]:
        known = {each.scope for each in transaction.domain_keys()}
        for each in new:
            if each.scope not in known:
                transaction.add_domain_key(each)
        return transaction.domain_keys()

    return store.write(add_if_missing, AccountScope(""))


def _open_seal(folder: DataFolder, sealed: list[SealedDomainKey], entropy: Entropy) -> Seal:
    if not folder.root_key.exists():
        if sealed:
            raise DataFolderError(f"`{folder.root_key}` is missing; without it no key can be used. Restore it.")
        create_root_key(folder.root_key, entropy)
    return load_file_seal(folder.root_key, entropy)
