"""PostgreSQL with a failover of its own: two servers under Patroni, one of them a synchronous standby, and an etcd.

All run in a temporary folder, on free ports of the loopback interface, and as the user ``nobody`` if this is root.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from typing_extensions import override

from free_ports import free_port
from postgresql import DatabaseServer, programs, unprivileged
from programs import program
from server_processes import tree_of

_TTL, _LOOP = 20, 2
"""Seconds after which a primary that has vanished is replaced, the least that Patroni allows, and between two looks."""
_SETTLED = 180
"""Seconds until a cluster has a primary and a synchronous standby again, on a busy machine."""
_USERS = {"superuser": "postgres", "replication": "replicator"}
_PRIMARY = ("master", "primary")
"""What Patroni calls it: the first, before release 4."""
_LOOK = 2.0
"""Seconds that Patroni may take for an answer; one that is frozen gives none."""
_ORDER = 30.0


class Member:
    """One server under Patroni. ``port`` is that of PostgreSQL."""

    def __init__(self, name: str, folder: Path, etcd: int) -> None:
        self.name = name
        self.port = free_port()
        self._rest = free_port()
        self._folder = folder
        self._config = folder / f"{name}.json"
        # JSON is YAML.
        self._config.write_text(json.dumps(self._settings(etcd)))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start Patroni, which starts PostgreSQL."""
        with (self._folder / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                unprivileged([program("patroni", "patroni"), str(self._config)]),
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
            )

    def status(self) -> dict[str, Any]:
        """Return what Patroni says of this member; raises OSError."""
        with suppress(urllib.error.HTTPError), self.ask("patroni") as answer:
            found: dict[str, Any] = json.load(answer)
            return found
        return {}

    def switch_over(self, leader: str, candidate: str) -> None:
        """Have Patroni make another member the primary, in an orderly way."""
        asked = json.dumps({"leader": leader, "candidate": candidate}).encode()
        with self.ask("switchover", asked):
            pass

    def kill_postgresql(self) -> None:
        """Kill the server with all its processes; Patroni lives, and starts it again or fails over."""
        for process in self._server():
            _signal(process, signal.SIGKILL)

    def kill(self) -> None:
        """Kill Patroni and the server at once, as if the machine had lost its power."""
        server = self._server()
        self._kill_patroni()
        for process in server:
            _signal(process, signal.SIGKILL)

    def freeze(self) -> None:
        """Stop all processes, as if the machine was paused; the kernel still accepts connections."""
        # First what could start others.
        for process in [*tree_of(self.pid), *self._server()]:
            _signal(process, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the server go on, and start Patroni anew; for a moment, the server is a primary beside the new one.

        A Patroni that was stopped between its look at etcd and its answer would take the lead back from the new
        primary. Its documentation asks for a watchdog, which resets such a machine; that is why it is killed here.
        """
        self._kill_patroni()
        for process in self._server():
            _signal(process, signal.SIGCONT)
        self.start()

    @property
    def pid(self) -> int:
        """The process id of Patroni."""
        assert self._process is not None
        return self._process.pid

    def _kill_patroni(self) -> None:
        server = {*self._server()}
        for process in tree_of(self.pid):
            if process not in server:
                _signal(process, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def _server(self) -> list[int]:
        """Return the processes of PostgreSQL, which outlive Patroni and are then no children of it."""
        with suppress(OSError, IndexError, ValueError):
            leader = int((self._folder / self.name / "postmaster.pid").read_text().split()[0])
            return tree_of(leader)
        return []

    def ask(self, path: str, body: bytes | None = None) -> Any:
        """Ask Patroni (its REST API); raises OSError."""
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self._rest}/{path}", body, headers)
        return urllib.request.urlopen(request, timeout=_ORDER if body else _LOOK)  # noqa: S310 - loopback

    def _settings(self, etcd: int) -> dict[str, Any]:
        timing = {"ttl": _TTL, "loop_wait": _LOOP, "retry_timeout": 5, "maximum_lag_on_failover": 0}
        parameters = {"wal_level": "replica", "hot_standby": "on", "max_connections": 200, "fsync": "off"}
        return {
            "scope": "strongroom",
            "name": self.name,
            "restapi": {"listen": f"127.0.0.1:{self._rest}", "connect_address": f"127.0.0.1:{self._rest}"},
            "etcd3": {"hosts": f"127.0.0.1:{etcd}"},
            "bootstrap": {
                "dcs": {
                    **timing,
                    "synchronous_mode": True,
                    # Otherwise a Patroni that is started beside a former primary first has it wait for no standby.
                    "synchronous_mode_strict": True,
                    "postgresql": {"use_pg_rewind": True, "parameters": parameters},
                },
                "initdb": ["no-sync", "data-checksums", {"encoding": "UTF8"}, {"locale": "C"}, {"auth": "trust"}],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{self.port}",
                "connect_address": f"127.0.0.1:{self.port}",
                "data_dir": str(self._folder / self.name),
                "bin_dir": str(programs()),
                "pgpass": str(self._folder / f"{self.name}.pgpass"),
                "authentication": {role: {"username": user, "password": user} for role, user in _USERS.items()},
                "parameters": {"unix_socket_directories": ""},
                "pg_hba": [
                    "host all all 127.0.0.1/32 trust",
                    "host replication all 127.0.0.1/32 trust",
                ],
            },
        }


class PatroniCluster(DatabaseServer):
    """An etcd, and two servers. ``primary`` and ``standby`` are members; a standby is a synchronous one."""

    def __init__(self) -> None:
        """Start everything; wait until there is a primary and a synchronous standby."""
        super().__init__()
        self._folder = Path(tempfile.mkdtemp(prefix="strongroom-patroni-"))
        if os.geteuid() == 0:
            shutil.chown(self._folder, "nobody")
        etcd = free_port()
        self._etcd = self._start_etcd(etcd)
        self.members = [Member(f"pg{number}", self._folder, etcd) for number in range(2)]
        for member in self.members:
            member.start()
        self.until_settled()

    def until_settled(self, longest: float = _SETTLED) -> None:
        """Wait until there is a primary, and a standby that acknowledges its commits."""
        _until(self._is_settled, longest, "no primary with a synchronous standby")

    @property
    def primary(self) -> Member:
        """The member that is the primary, as Patroni sees it; raises LookupError while there is none."""
        for member in self.members:
            with suppress(OSError):
                if member.status().get("role") in _PRIMARY:
                    return member
        raise LookupError("no member is the primary")

    @property
    def standby(self) -> Member:
        """The other member."""
        primary = self.primary
        return next(member for member in self.members if member is not primary)

    @override
    def address(self, database: str = "postgres", user: str = "postgres", ports: Sequence[int] = ()) -> str:
        """Return the connection string that leads to the member that can be written, through proxies if given."""
        chosen = ports or [member.port for member in self.members]
        hosts = ",".join(["127.0.0.1"] * len(chosen))
        return (
            f"host={hosts} port={','.join(map(str, chosen))} dbname={database} user={user} "
            "target_session_attrs=read-write connect_timeout=3"
        )

    def until_promoted(self, former: Member) -> None:
        """Wait until another member than the former primary is one."""
        _until(lambda: self._is_promoted(former), _SETTLED, "no standby was promoted")

    def remove(self) -> None:
        """Kill everything and remove the files."""
        for member in self.members:
            member.kill()
        self._etcd.kill()
        self._etcd.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _is_settled(self) -> bool:
        with suppress(LookupError, OSError):
            return self._roles() == ["leader", "sync_standby"]
        return False

    def _is_promoted(self, former: Member) -> bool:
        for member in self.members:
            with suppress(OSError):
                if member is not former and member.status().get("role") in _PRIMARY:
                    return True
        return False

    def _roles(self) -> list[str]:
        """Return the roles of the members that run, as Patroni knows them."""
        with self.primary.ask("cluster") as answer:
            members = json.load(answer)["members"]
        return sorted(member["role"] for member in members if member["state"] in ("running", "streaming"))

    def _start_etcd(self, port: int) -> "subprocess.Popen[bytes]":
        client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{free_port()}"
        options = {
            "data-dir": str(self._folder / "etcd"),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
            "unsafe-no-fsync": "true",
        }
        with (self._folder / "etcd.log").open("wb") as log:
            return subprocess.Popen(
                unprivileged(
                    [program("etcd", "etcd-server"), *(f"--{name}={value}" for name, value in options.items())]
                ),
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
            )


def _signal(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)


def _until(holds: Callable[[], bool], longest: float, otherwise: str) -> None:
    deadline = time.monotonic() + longest
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.2)
