"""Kills a server under load again and again, and compares it with the ledger after each restart."""

import itertools
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path

import msgspec
from botocore.credentials import Credentials

from campaign import Random, Tally
from fast_client import CallRefused, FastClient
from ledger import Ledger
from ledger_check import Check, unrecorded
from ledger_load import load
from local_server import RunningServer, running_server
from server_processes import children_of, is_alive, wait_until
from warm_commands import strongroom, warm_server

ROUNDS_OF_A_FOLDER = 5
"""A folder is served, and killed, so often; then a new one begins, so that comparisons stay short."""
_LOAD = (5, 120)
"""The fewest and most calls that are answered before a kill."""
_REAL_START_EVERY = 4
"""One start of a single process in so many is that of a new Python, as an operator's."""
_LONGEST_LOAD = 20.0
"""Seconds after which a kill comes in any case."""


class Victim(StrEnum):
    """Which processes of a server are killed."""

    ALL = "all processes"
    SUPERVISOR = "the supervisor"
    WORKER = "one worker"


class Folder(msgspec.Struct):
    """A data folder with its ledger."""

    path: Path
    ledger: Ledger
    numbers: "itertools.count[int]"
    options: tuple[str, ...]


class KillCampaign:
    """Kills with SIGKILL. ``workers`` is the number of worker processes; with one, all processes are killed."""

    def __init__(self, scratch: Path, random: Random, durability: str, workers: int) -> None:
        self._scratch = scratch
        self._random = random
        self._options = ("--config", str(configured(scratch, durability)), "--workers", str(workers))
        self._victims = [*Victim] if workers > 1 else [Victim.ALL]
        self._workers = workers
        self._folders, self._starts = itertools.count(), itertools.count()
        self._folder: Folder | None = None
        self.tally = Tally(f"kill -9, {workers} worker{'s' * (workers > 1)}, durability `{durability}`")

    def run(self, rounds: int) -> Tally:
        """Kill ``rounds`` times; return the counts."""
        for number in range(rounds):
            if number % ROUNDS_OF_A_FOLDER == 0:
                self._begin_folder()
            self._round()
        self._end_folder()
        return self.tally

    def _begin_folder(self) -> None:
        self._end_folder()
        path = self._scratch / f"data{next(self._folders)}"
        self._folder = Folder(path, Ledger(), itertools.count(1), self._options)

    def _end_folder(self) -> None:
        if self._folder is not None:
            # The last kill is followed by a start, too.
            self._serve_and_check(self._folder)
            self.tally.acknowledged += self._folder.ledger.acknowledged()

    def _round(self) -> None:
        assert self._folder is not None
        folder, victim = self._folder, self._random.choice(self._victims)
        with self._started(folder) as server:
            self._check(server, folder)
            with load(server, folder.ledger, folder.numbers) as loads:
                self._wait(folder.ledger)
                self._kill(server, victim)
                if victim is Victim.WORKER:
                    self._wait(folder.ledger)
                    self._kill(server, Victim.ALL)
            unexpected = [str(refusal) for each in loads for refusal in each.refusals]
            self.tally.lost += [f"refused without a reason: {text}" for text in unexpected]
        self.tally.injected += 1
        self.tally.outcomes[f"{victim}"] += 1
        self._verify(folder)

    def _wait(self, ledger: Ledger) -> None:
        """Wait until some more calls were answered, and then a moment."""
        enough = len(ledger.requests) + self._random.randint(*_LOAD)
        end = time.monotonic() + _LONGEST_LOAD
        while len(ledger.requests) < enough and time.monotonic() < end:
            time.sleep(0.002)
        time.sleep(self._random.uniform(0, 0.02))

    def _kill(self, server: RunningServer, victim: Victim) -> None:
        supervisor = server.process.pid
        workers = children_of(supervisor)
        if victim is Victim.WORKER:
            os.kill(self._random.choice(workers), signal.SIGKILL)
            return
        chosen = [supervisor] if victim is Victim.SUPERVISOR else [supervisor, *workers]
        self._random.shuffle(chosen)
        for pid in chosen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        server.process.wait()
        # Workers end with their supervisor.
        wait_until(lambda: not any(map(is_alive, workers)))

    @property
    def _log(self) -> Path:
        return self._scratch / "log"

    @contextmanager
    def _started(self, folder: Folder) -> Iterator[RunningServer]:
        """Start a server, and note how long it took until the first call was answered.

        Most single processes are forked, which takes less time and is not noted.
        """
        begun, is_real = time.monotonic(), self._workers > 1 or next(self._starts) % _REAL_START_EVERY == 0
        with (running_server if is_real else warm_server)(folder.path, self._log, *folder.options) as server:
            seconds = first_answer(server, begun)
            if is_real:
                self.tally.recovery.append(seconds)
            yield server

    def _serve_and_check(self, folder: Folder) -> None:
        with self._started(folder) as server:
            self._check(server, folder)
            server.stop()
        self._verify(folder)

    def _check(self, server: RunningServer, folder: Folder) -> None:
        """Compare a server that has just started with the ledger of its folder."""
        self.tally.lost += Check(server, folder.ledger).pin()
        self.tally.lost += [
            f"the answered call {each} has no record" for each in unrecorded(folder.path, folder.ledger)
        ]
        said = self._log.read_text()
        if "Traceback" in said:
            self.tally.lost.append(f"a traceback in the log: {said[-400:]}")

    def _verify(self, folder: Folder) -> None:
        done = strongroom(folder.path, "audit", "verify")
        if "The log is whole." not in done.stdout:
            self.tally.lost.append(f"audit verify: {done.stdout}{done.stderr}")


def first_answer(server: RunningServer, since: float, credentials: Credentials | None = None) -> float:
    """Return the seconds from a moment (monotonic) until a server answers a call; raises NoAnswer."""
    client = FastClient(server, credentials)
    with suppress(CallRefused):
        client("ListKeys", Limit=1)
    client.close()
    return time.monotonic() - since


def configured(scratch: Path, durability: str) -> Path:
    """Return a file of settings with one of the settings of durability."""
    path = scratch / f"{durability}.toml"
    path.write_text(f'durability = "{durability}"\n')
    return path
