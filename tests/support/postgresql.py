"""A real PostgreSQL for tests: a cluster in a temporary folder, on a free port of the loopback interface.

As root, its programs run as the user ``nobody``, because they refuse to run as root.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path

import psycopg
from typing_extensions import override

from free_ports import free_port
from programs import APT
from server_processes import PATIENCE, wait_until
from strongroom.entropy import system_entropy
from strongroom.store.postgresql.engine import open_postgresql, transaction
from strongroom.store.postgresql.migrate import grant_access, migrate
from strongroom.store.postgresql.schema import metadata
from strongroom.store.postgresql.schema_version import SCHEMA
from strongroom.store.postgresql.store import TIME_LIMIT, PostgresqlStore

_USER = "nobody"
OWNER, SERVER, READER = "strongroom_migrate", "strongroom_serve", "strongroom_read"
"""The roles: the owner of the tables, that of servers, and that of what only reads."""
_TEMPLATE = "migrated"
EMPTYING = (
    "; ".join(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables)),  # noqa: S608 - our own names
    "INSERT INTO generation (number, tag) VALUES (0, substr(uuid_send(gen_random_uuid()), 1, 8))",
    f"INSERT INTO schema_window (oldest, newest) VALUES ('{SCHEMA}', '{SCHEMA}')",  # noqa: S608 - ours
    "INSERT INTO database_history VALUES (1, substr(md5(gen_random_uuid()::text), 1, 16), 0)",
)
"""What makes a database as the migrations leave it."""
_RELOADED = "received SIGHUP"
"""What the log of a server has before it reads its files again, and accepts no connection until it has."""
_FAST = "-c fsync=off -c full_page_writes=off -c deadlock_timeout=100ms"
_LIMITS = ("lock_timeout = '2s'", "statement_timeout = '5s'", "idle_in_transaction_session_timeout = '5s'")


@cache
def programs() -> Path:
    """Return the folder of the programs of the server that the tests run on.

    ``POSTGRESQL_PROGRAMS`` in the environment names it; as root, the user ``nobody`` must be able to read it. By
    default, it is that of the newest server of Debian's packages, one of which is installed if there is none.
    """
    chosen = os.environ.get("POSTGRESQL_PROGRAMS")
    if chosen:
        folder = Path(chosen)
        assert (folder / "postgres").is_file(), f"POSTGRESQL_PROGRAMS: there is no server in {folder}"
        return folder
    found = _installed()
    if not found:
        subprocess.run([APT, "postgresql"], check=True)
        found = _installed()
    return max(found, key=lambda path: float(path.parent.name))


def _installed() -> list[Path]:
    return [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]


def unprivileged(command: list[str]) -> list[str]:
    """Return the command, as the user ``nobody`` if this is root: servers of databases refuse to run as root."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", f"--reuid={_USER}", "--regid=nogroup", "--clear-groups", *command]


class DatabaseServer(ABC):
    """Makes databases for tests, wherever ``address`` leads to."""

    def __init__(self) -> None:
        self._spare: list[str] = []

    @abstractmethod
    def address(self, database: str = "postgres", user: str = "postgres") -> str:
        """Return the connection string of a database, as a user."""

    def run(self, *statements: str, database: str = "postgres") -> None:
        """Run statements as the superuser, each in a transaction of its own."""
        with closing(psycopg.connect(self.address(database), autocommit=True)) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def until_ready(self, timeout: float = PATIENCE) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                return self.run("SELECT 1")
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def prepare(self) -> None:
        """Make the roles, and the database that all others are copies of."""
        limits = [f"ALTER ROLE {role} SET {limit}" for role in (SERVER, READER) for limit in _LIMITS]
        self.run(*(f"CREATE ROLE {role} LOGIN" for role in (OWNER, SERVER, READER)), *limits)
        self.run(f"CREATE DATABASE {_TEMPLATE} OWNER {OWNER}")
        with closing(open_postgresql(self.address(_TEMPLATE, OWNER))) as database:
            migrate(database.engine)
            with transaction(database.engine) as connection:
                grant_access(connection, serve=SERVER, read=READER)

    @contextmanager
    def database(self) -> Iterator[str]:
        """Make a database with all tables and no rows, of the roles above; yield its name.

        It is emptied and used again: that takes a tenth of the time.
        """
        name = self._spare.pop() if self._spare else self.copy()
        yield name
        self.run(*EMPTYING, database=name)
        self._spare.append(name)

    @contextmanager
    def scratch(self) -> Iterator[str]:
        """Make a database as ``database`` does, and drop it: for tests that leave it in any state."""
        name = self.copy()
        yield name
        self.run(f"DROP DATABASE {name} WITH (FORCE)")

    def copy(self) -> str:
        """Make a database with all tables and no rows, of the roles above; return its name."""
        name = f"test_{system_entropy(6).hex()}"
        # Faster than a checkpoint and copied files.
        self.run(f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {_TEMPLATE} STRATEGY wal_log")
        # A copy does not have the rights of the database itself.
        self.run(f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")
        return name


class Cluster(DatabaseServer):
    """A database server with its files in a folder of its own."""

    def __init__(self, settings: str = _FAST, standby_of: "Cluster | None" = None) -> None:
        """Make and start it, or a standby of another one; ``settings`` are options of its command line."""
        super().__init__()
        self._settings = settings
        self._folder = Path(tempfile.mkdtemp(prefix="strongroom-postgresql-"))
        self._data = self._folder / "data"
        if os.geteuid() == 0:
            shutil.chown(self._folder, _USER)
        self.port = free_port()
        if standby_of is None:
            options = "--no-sync --data-checksums --encoding=UTF8 --locale=C --auth=trust --username=postgres"
            self._run("initdb", *options.split())
        else:
            options = f"--no-sync --checkpoint=fast --write-recovery-conf -h 127.0.0.1 -p {standby_of.port} -U postgres"
            self._run("pg_basebackup", *options.split())
        self.start()

    def _run(self, name: str, *options: str) -> None:
        command = unprivileged([str(programs() / name), "-D", str(self._data), *options])
        # That of pg_ctl only bounds a hang.
        environment = {**os.environ, "PGCTLTIMEOUT": str(2 * PATIENCE)}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self._folder, env=environment)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -k '' -c listen_addresses=127.0.0.1 {self._settings}"
        self._run("pg_ctl", "-o", options, "-l", str(self._folder / "log"), "-w", "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: ``immediate`` is like a crash, ``fast`` ends all connections first."""
        self._run("pg_ctl", "-m", mode, "-w", "stop")

    def reload(self) -> None:
        """Have it read its files again."""
        log = self._folder / "log"
        before = log.read_text().count(_RELOADED)
        self._run("pg_ctl", "reload")
        wait_until(lambda: log.read_text().count(_RELOADED) > before)

    def put(self, name: str, content: bytes) -> None:
        """Write one of its files."""
        path = self._data / name
        path.write_bytes(content)
        path.chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(path, _USER)

    def promote(self) -> None:
        """Make a standby the primary."""
        self._run("pg_ctl", "-w", "promote")

    def remove(self) -> None:
        """Stop it and remove its files."""
        self.stop()
        shutil.rmtree(self._folder)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop all its processes for a while, as if its machine was paused; the kernel still accepts connections."""
        processes = self._processes()
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                # Some end by themselves as soon as the first one continues.
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGCONT)

    @property
    def pid(self) -> int:
        """The process id of the server, whose children are its other processes."""
        return int((self._data / "postmaster.pid").read_text().split()[0])

    def _processes(self) -> list[int]:
        leader = self.pid
        children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
        return [leader, *map(int, children)]

    def zero_bytes(self, table: str, database: str) -> None:
        """Overwrite a few bytes in the middle of the first page of a table, as a disk that fails does."""
        self.run("CHECKPOINT")
        with closing(psycopg.connect(self.address(database))) as connection:
            row = connection.execute("SELECT pg_relation_filepath(%s)", (table,)).fetchone()
        assert row is not None
        self.stop("fast")
        with (self._data / str(row[0])).open("r+b") as file:
            file.seek(8000)
            file.write(bytes(16))
        self.start()

    @override
    def address(self, database: str = "postgres", user: str = "postgres", port: int | None = None) -> str:
        """Return the connection string of a database, as a user; ``port`` is that of a proxy before it."""
        return f"host=127.0.0.1 port={port or self.port} dbname={database} user={user}"

    def store(self, name: str, time_limit: float = TIME_LIMIT, port: int | None = None) -> PostgresqlStore:
        """Open the store in a database, as a server does; ``port`` is that of a proxy before the database server."""
        database = open_postgresql(self.address(name, SERVER, port))
        return PostgresqlStore(database, system_entropy, time_limit=time_limit)


@contextmanager
def prepared_cluster() -> Iterator[Cluster]:
    """Run a database server that is ready for tests, and remove it afterwards."""
    cluster = Cluster()
    try:
        cluster.prepare()
        yield cluster
    finally:
        cluster.remove()
