"""PgBouncer, in transaction mode, before a database server of a test."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import psycopg

from free_ports import free_port
from postgresql import Cluster, unprivileged
from programs import program

_CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
admin_users = postgres
pool_mode = transaction
default_pool_size = {pool}
"""


class Pgbouncer:
    """A pooler with three connections for each database and role. Use it as a context manager."""

    POOL: ClassVar = 3

    def __init__(self, cluster: Cluster) -> None:
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="strongroom-pgbouncer-"))
        users, self._settings = self._folder / "users", self._folder / "settings.ini"
        users.write_text('"postgres" ""\n"strongroom_serve" ""\n')
        content = _CONFIGURATION.format(server=cluster.port, port=self.port, users=users, pool=self.POOL)
        self._settings.write_text(content)
        if os.geteuid() == 0:
            for path in (self._folder, users, self._settings):
                shutil.chown(path, "nobody")

    def __enter__(self) -> Self:
        command = unprivileged([program("pgbouncer", "pgbouncer"), "-q", str(self._settings)])
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while True:
            try:
                self.servers()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._end()
        shutil.rmtree(self._folder)

    def restart(self) -> None:
        """End it with all connections, and start it anew."""
        self._end()
        self.__enter__()

    def address(self, database: str, user: str) -> str:
        """Return the connection string of a database, as a user."""
        return f"host=127.0.0.1 port={self.port} dbname={database} user={user}"

    def servers(self) -> int:
        """Return how many connections it has to the database server."""
        with closing(psycopg.connect(self.address("pgbouncer", "postgres"), autocommit=True)) as connection:
            connection.prepare_threshold = None
            return len(psycopg.ClientCursor(connection).execute("SHOW SERVERS").fetchall())

    def _end(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
