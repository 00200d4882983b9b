"""A synchronous standby of a PostgreSQL cluster, which can be promoted."""

import os
import shutil
import tempfile
from pathlib import Path

from postgresql import _FAST, _USER, Cluster, _free_port


def primary() -> Cluster:
    """Return a cluster whose commits wait for a standby once ``require_standby`` was called."""
    return Cluster(_FAST.replace("synchronous_commit=off", "synchronous_commit=on"))


class Standby(Cluster):
    """A standby that streams from another cluster."""

    def __init__(self, source: Cluster) -> None:
        self._settings = source._settings
        self._folder = Path(tempfile.mkdtemp(prefix="strongroom-standby-"))
        self._data = self._folder / "data"
        if os.geteuid() == 0:
            shutil.chown(self._folder, _USER)
        self.port = _free_port()
        self._run("pg_basebackup", "-d", source.address("replication"), "-R", "--checkpoint=fast", "--no-sync")
        self.start()

    def promote(self) -> None:
        """Make it a primary, which waits for no standby."""
        self._run("pg_ctl", "-w", "promote")


def require_standby(source: Cluster) -> None:
    """Have every commit wait until a standby has it."""
    source.run("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
