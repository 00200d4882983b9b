"""The data folder: the files that a first start makes and every start checks.

::

    DATA/               0700, locked by the running server
      strongroom.db     SQLite: keys (wrapped), policies, aliases, tags, access keys (wrapped)
      strongroom.db-writer       empty; locked by the process that writes
      root.key          0600, the root key that seals the domain keys; with ``seal.json``, the key of its seal ``file``
      seal.json         0600, the root key, wrapped by each seal, once a seal was added
      generation        0600, with PostgreSQL: the page of memory in which this node's agent says what is current
      node-id           0600, the identity of this node, made at its first start
      credentials       0600, access keys of account roots and services, for AWS clients
      root-credentials  0600, root access keys that were put aside (``strongroom init --admin``)
      env.sh, env.fish  0600, shell commands that point AWS clients at the server, written by each start
      restored-objects  objects of a token that another deployment may need (``assembly.restored_objects``)
      development       empty; in a folder of ``strongroom dev``, which no other command opens
      moved             0600, where the database was moved, or is being moved (``strongroom migrate``)
      serving           empty; locked by the process that was started to serve, and by none of its workers
      xks-serving       empty; locked by the process that serves XKS proxies
      registering       empty; locked by the command that changes something
      token             empty; locked by the process that logs in to a hardware token
      request-quotas    0600, what several workers have counted, if there are quotas
      clock             0600, what the server knows of the time, and how far to believe the clock of the machine
      clock-accepted    0600, the clocks as they were at the last ``strongroom clock accept``
      problems/         0700, the open problems of each worker, 0600
      audit/            0700, a line for each call, in segments
      shipping/         0700, how far the audit log was shipped to each destination, 0600, and a socket for workers
      events/           0700, events that wait to be sent, 0600, and how sending goes
      metrics/          0700, a socket of each worker, 0600, over which it sends the others its metrics
"""

import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from strongroom.crypto.seal import UnsealError
from strongroom.file_owners import is_foreign, owner_of, remedy
from strongroom.problems import Problems
from strongroom.store.sqlite.engine import open_sqlite
from strongroom.store.sqlite.read_only import ReadOnlyStore, UnreadableStoreError, open_read_only
from strongroom.store.sqlite.schema_version import has_this_schema, upgrade
from strongroom.store.sqlite.store import SqlStore

_KEY_FILE = re.compile(r"root(-[0-9]{1,9})?\.key")
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class DataFolderError(Exception):
    """The data folder cannot be used; the message says why and what to do."""


class FolderInUseError(DataFolderError):
    """Another server is using the data folder."""


class DataFolder:
    """The paths of one data folder."""

    def __init__(self, path: Path, shared: str | None = None) -> None:
        """``shared`` is what messages call the database, if that is not in this folder, but shared by nodes."""
        self.path = path
        self.database = path / "strongroom.db"
        self.is_shared = shared is not None
        self.database_name = f"`{self.database}`" if shared is None else shared
        """What messages call the database."""
        self.generation = path / "generation"
        self.root_key = path / "root.key"
        self.seal = path / "seal.json"
        self.seal_name = f"`{self.seal}`" if shared is None else f"the seal document of {shared}"
        self.next_seal = path / "seal.json.next"
        """The seal document of the next root key, while that is rotated."""
        self.node_id = path / "node-id"
        self.credentials = path / "credentials"
        self.root_credentials = path / "root-credentials"
        self.client_environment = path / "env.sh"
        self.client_environment_fish = path / "env.fish"
        self.audit = path / "audit"
        self.shipping = path / "shipping"
        self.events = path / "events"
        self.request_quotas = path / "request-quotas"
        self.problems = path / "problems"
        self.development = path / "development"
        self.moved = path / "moved"
        self.serving = path / "serving"
        self.token_login = path / "token"
        self.restored_objects = path / "restored-objects"
        self.xks_serving = path / "xks-serving"
        self.clock = path / "clock"
        self.clock_accepted = path / "clock-accepted"
        self._changing = path / "registering"
        self.locks = (self.serving, self.xks_serving, self._changing)

    def key_file(self, name: str) -> Path:
        """Return the path of a key file of a seal; raises UnsealError for a name that is none."""
        if not _KEY_FILE.fullmatch(name):
            raise UnsealError(f"{name!a} is no name of a key file")
        return self.path / name

    def key_files(self) -> list[Path]:
        """Return the key files that are there."""
        return sorted(each for each in self.path.iterdir() if _KEY_FILE.fullmatch(each.name))

    def drafts(self) -> list[Path]:
        """Return the drafts of seal documents and key files that are there (``whole_files``)."""
        names = (self.seal.name, self.next_seal.name)
        return sorted(each for each in self.path.glob("*.new") if each.stem in names or _KEY_FILE.fullmatch(each.stem))

    def lock(self) -> int:
        """Make the folder if needed and lock it for this process.

        Returns the lock's file descriptor, to be kept open. Raises DataFolderError when another server has it, and when
        another user could change what is in it.
        """
        # The folder itself is locked: if a lock file were deleted, a second server could start.
        descriptor = self._open()
        try:
            _require_own_content(self)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                raise self.in_use() from None
            raise
        return descriptor

    @contextmanager
    def locked_to_upgrade(self) -> Iterator[None]:
        """Lock the folder for a block that changes what an older release has written.

        A server of another release could not go on with it. Raises DataFolderError if one uses the folder.
        """
        try:
            descriptor = self.lock()
        except FolderInUseError:
            raise DataFolderError(
                f"a server of another release is using `{self.path}`; stop it first, or use the commands of its release"
            ) from None
        try:
            yield
        finally:
            os.close(descriptor)

    def is_locked(self) -> bool:
        """Tell whether a server uses the folder; raises OSError if it cannot be opened.

        The lock is held for a moment. A server that starts then waits for it.
        """
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def require_private(self) -> None:
        """Refuse a folder in which another user can change something; raises DataFolderError, OSError."""
        _require_own_link(self.path)
        _require_private(self.path, self.path.stat())
        _require_own_content(self)

    def require_own(self) -> None:
        """Refuse a folder of another user, whose server could not read what this process makes in it.

        Raises DataFolderError. A folder that is missing is not refused.
        """
        with suppress(FileNotFoundError, NotADirectoryError):
            status = self.path.stat()
            if is_foreign(status):
                raise DataFolderError(f"`{self.path}` belongs to {owner_of(status)}; {remedy(status, self.path)}")

    def require_readable(self) -> None:
        """Refuse a folder that is missing, or that this user may not read; raises DataFolderError."""
        try:
            os.close(os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            if not self.is_shared:
                self.database.stat()
        except OSError as error:
            raise DataFolderError(
                f"`{self.path}` cannot be read as a data folder: {error.strerror}; name the folder with --data, and "
                "run this as the user of the server"
            ) from None

    def require_production(self) -> None:
        """Refuse a folder of ``strongroom dev``, whose keys others can know; raises DataFolderError.

        The clients of a development server can choose access keys and key material, and delete everything.
        """
        if self.development.exists():
            raise DataFolderError(
                f"`{self.path}` was made by strongroom dev, so others can know its keys; no other command opens it: "
                "serve it with strongroom dev, or name another folder with --data"
            )

    def make(self) -> None:
        """Make the folder if needed; raises DataFolderError if another user could change what is in it."""
        os.close(self._open())

    def in_use(self) -> FolderInUseError:
        """Return the refusal to use the folder while another server does."""
        return FolderInUseError(f"another server is using `{self.path}`; stop it first, or choose another --data")

    def _open(self) -> int:
        _require_own_link(self.path)
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except FileExistsError as error:
            raise DataFolderError(f"`{error.filename}` is not a folder; name another one with --data") from None
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _require_private(self.path, os.fstat(descriptor))
        except DataFolderError:
            os.close(descriptor)
            raise
        return descriptor

    @contextmanager
    def changing(self, *, wait: bool = True) -> Iterator[bool]:
        """Keep other commands from changing anything at the same time.

        It waits for a command that does. If it is not to ``wait``, it gives False while another command has the lock.
        A command that has opened the database takes this lock with ``CommandTrail.changing``, which also makes sure
        that the deployment is still there.
        """
        descriptor = os.open(self._changing, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
        finally:
            os.close(descriptor)


def _require_own_link(path: Path) -> None:
    """Refuse a symbolic link of another user, who could let it lead elsewhere; raises DataFolderError."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(status.st_mode) and is_foreign(status):
        raise DataFolderError(f"`{path}` is a symbolic link of {owner_of(status)}; name the folder itself in --data")


def _require_private(path: Path, status: os.stat_result) -> None:
    """Refuse a folder in which another user could put a root key or a database; raises DataFolderError.

    The folders above it do not matter: a user who can write there can put another folder in the place of this one,
    but not one that belongs to this user or to root.
    """
    if is_foreign(status):
        raise DataFolderError(f"`{path}` belongs to {owner_of(status)}; {remedy(status, path)}")
    if status.st_mode & _WRITABLE_BY_OTHERS:
        raise DataFolderError(f"`{path}` can be written by others; run: chmod go-w {path}, or name a folder in it")


def _require_own_content(folder: DataFolder) -> None:
    """Refuse state that another user put there while the folder was open to others; raises DataFolderError.

    Its owner could go on changing it. The root key is checked where it is read. Also refused is what is no file where
    one must be, or no folder: a pipe or a device has no end, and a read of it may never return.
    """
    database = [folder.path / (folder.database.name + suffix) for suffix in ("", "-wal", "-shm", "-journal", "-writer")]
    files = (
        *database,
        folder.generation,
        folder.moved,
        folder.node_id,
        folder.seal,
        folder.next_seal,
        folder.clock,
        folder.clock_accepted,
    )
    folders = (folder.audit, folder.problems, folder.shipping)
    for path in (*files, *folder.locks, *folders):
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue
        if is_foreign(status):
            raise DataFolderError(f"`{path}` belongs to {owner_of(status)}; {remedy(status, path)}")
        if path in folders:
            if not path.is_dir():
                raise DataFolderError(f"`{path}` is not a folder; move it away")
        elif path in database:
            _require_only_name(path, status)
        elif not path.is_file():
            raise DataFolderError(f"`{path}` is not a file; move it away")


def _require_only_name(path: Path, status: os.stat_result) -> None:
    """Refuse a file of the database that has another name; raises DataFolderError.

    SQLite keeps the log of a database beside the name that it was opened by. With two names there are two logs, and the
    database is damaged (sqlite.org/howtocorrupt.html, 2.5).
    """
    if stat.S_ISLNK(status.st_mode):
        raise DataFolderError(f"`{path}` is a symbolic link; move the file itself here, or name its folder with --data")
    if not stat.S_ISREG(status.st_mode):
        raise DataFolderError(f"`{path}` is not a file; move it away, and put the database that belongs here back")
    if status.st_nlink > 1:
        raise DataFolderError(
            f"`{path}` has another name, a hard link; remove that one, which this finds: find / -samefile {path}. "
            "A copy of the folder is made by `strongroom backup`"
        )


def require_database(folder: DataFolder) -> None:
    """Refuse a folder that was served before and has no database, or an empty one; raises DataFolderError.

    A first start makes the database before anything else, so only a lost one can be missing beside a root key or an
    audit log. To make a new one would hide that every key is gone.
    """
    left = left_by_earlier_start(folder)
    if left is not None and _is_empty(folder.database):
        raise served_before(folder, "is empty" if folder.database.exists() else "is missing", left)


def served_before(folder: DataFolder, state: str, left: Path) -> DataFolderError:
    """Return the refusal of a database in the given state, with what shows that it was not always so."""
    elsewhere = (
        "" if folder.is_shared else " If its database is PostgreSQL, name the settings with `store` in --config."
    )
    return DataFolderError(
        f"{folder.database_name} {state}, but `{left}` is there: this folder was served before.{elsewhere} "
        "Restore the database that belongs to it, or choose another --data to begin anew"
    )


def left_by_earlier_start(folder: DataFolder) -> Path | None:
    """Return something that only a start with a database leaves; None if there is nothing."""
    if folder.audit.is_dir() and any(folder.audit.iterdir()):
        return folder.audit
    return next((path for path in (folder.node_id, folder.seal, folder.root_key) if path.exists()), None)


def _is_empty(database: Path) -> bool:
    """Tell whether a database is missing or has no page. A write-ahead log alone is of no use: SQLite would drop it."""
    return not database.exists() or database.stat().st_size == 0


def open_store(folder: DataFolder, problems: Problems | None = None) -> SqlStore:
    """Open the database, which has this release's schema."""
    return SqlStore(open_sqlite(folder.database), problems=problems)


def upgrade_unused(folder: DataFolder) -> None:
    """Bring the database to this release's schema, if it has another one and no server has the folder.

    While a server of another release runs, the database is left as it is: rows that this server still writes would lack
    columns that this release needs. Raises DataFolderError then, and UnknownSchemaError for the database of a newer
    release.
    """
    if has_this_schema(folder.database):
        return
    with folder.locked_to_upgrade():
        upgrade(folder.database)


def open_store_to_read(folder: DataFolder, *, untouched: bool = False) -> ReadOnlyStore:
    """Open the database and change nothing; raises UnknownSchemaError, and DataFolderError if it cannot be read.

    ``untouched`` is for a caller that also must make no file beside the database of a stopped server.
    """
    try:
        return open_read_only(folder.database, untouched=untouched)
    except UnreadableStoreError as error:
        raise DataFolderError(f"`{folder.database}`, or a file beside it, cannot be read: {error}") from None
