"""Backups of a server under load: each is verified, restored into a new folder, served and compared with the ledger."""

import itertools
import shutil
import time
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from campaign import Random, Tally
from clients import credentials_of
from kill_campaign import first_answer
from ledger import Ledger
from ledger_check import Check
from ledger_load import load
from server_processes import wait_until
from warm_commands import command, strongroom, warm_server

BACKUPS_OF_A_RUN = 4
"""A server is backed up so often; then a new one begins, so that folders stay small."""
_BETWEEN = (0.05, 0.4)
"""The shortest and the longest time before a backup, in which clients work, seconds."""
_LATEST = 1 << 62


class Made(msgspec.Struct, frozen=True):
    """A backup, and the moments at which its command was begun and had ended."""

    path: Path
    begun: int
    complete: int


class BackupCampaign:
    """Backs up servers while clients work.

    Half of the backups are encrypted, have the domain keys, and are restored without the root key. Half of the restores
    get the audit log of the server, which has gone on since: what was destroyed after the backup stays destroyed then.
    """

    def __init__(self, scratch: Path, random: Random) -> None:
        self._scratch = scratch
        self._random = random
        self._runs = itertools.count()
        self._identity = scratch / "identity"
        self._recipient = _ssh_key(self._identity)
        self._public_key = scratch / "audit.pem"
        self.tally = Tally("`strongroom backup` under load, verified, restored, served")

    def run(self, backups: int) -> Tally:
        """Make ``backups`` backups and restore each; return the counts."""
        while (left := backups - self.tally.injected) > 0:
            self._one_server(min(left, BACKUPS_OF_A_RUN))
        return self.tally

    def _one_server(self, count: int) -> None:
        ledger, data = Ledger(), self._scratch / f"data{next(self._runs)}"
        with warm_server(data, self._scratch / "log") as server:
            self._credentials = credentials_of(server)
            with load(server, ledger, itertools.count(1), clients=2):
                made = [self._back_up(data, ledger) for _ in range(count)]
            self._public_key.write_text(strongroom(data, "audit", "public-key").stdout)
            server.stop()
        for each in made:
            self._restore(each, data, ledger)
        shutil.rmtree(data)

    def _back_up(self, data: Path, ledger: Ledger) -> Made:
        time.sleep(self._random.uniform(*_BETWEEN))
        wait_until(lambda: len(ledger.requests) > 0)
        number, begun = self.tally.injected, ledger.moment()
        self.tally.injected += 1
        path = self._scratch / f"backup{number}"
        options = ("--recipient", self._recipient, "--with-domain-keys") if number % 2 else ("--unencrypted",)
        done = strongroom(data, "backup", "--to", str(path), *options)
        if done.returncode:
            self.tally.lost.append(f"no backup: {done.stderr}")
        return Made(path, begun, ledger.moment())

    def _restore(self, made: Made, data: Path, ledger: Ledger) -> None:
        if not made.path.exists():
            return
        self.tally.acknowledged += ledger.acknowledged(made.begun)
        number = int(made.path.name.removeprefix("backup"))
        opened: tuple[str, ...]
        if number % 2:
            opened = ("--identity", str(self._identity), "--audit-public-key", str(self._public_key))
        else:
            opened = ("--root-key", str(data / "root.key"))
        verified = command("backup", "verify", str(made.path), *opened)
        if "The backup is whole." not in verified.stdout:
            self.tally.lost.append(f"backup verify: {verified.stdout}{verified.stderr}")
        with_log = number % 4 < 2
        history = ("--audit", str(data)) if with_log else ("--without-audit-log",)
        target, begun = self._scratch / "restored", time.monotonic()
        done = strongroom(target, "restore", str(made.path), *opened, *history)
        if done.returncode:
            self.tally.lost.append(f"no restore: {done.stderr}")
            return
        shutil.copy(data / "credentials", target / "credentials")
        log = self._scratch / "log"
        with warm_server(target, log, "--workers", "1") as server:
            self.tally.recovery.append(first_answer(server, begun, self._credentials))
            # With the log, keys have lost since what was destroyed after the backup.
            until = _LATEST if with_log else made.complete
            self.tally.lost += Check(server, ledger, made.begun, self._credentials, until=until).run()
            server.stop()
        told = strongroom(target, "audit", "verify")
        if "The log is whole." not in told.stdout or "Traceback" in log.read_text():
            self.tally.lost.append(f"audit verify: {told.stdout}{told.stderr}")
        self.tally.outcomes["restored with the audit log" if with_log else "restored without an audit log"] += 1
        shutil.rmtree(target)
        made.path.unlink()


def _ssh_key(path: Path) -> str:
    """Write a new SSH private key, which opens what is encrypted to the public key that is returned."""
    key = Ed25519PrivateKey.generate()
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
