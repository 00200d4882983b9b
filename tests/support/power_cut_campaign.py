"""Power cuts: one run is recorded, and a server is started from what a cut at many moments of it could have left."""

import itertools
import time
from pathlib import Path

from campaign import Random, Tally
from clients import credentials_of
from kill_campaign import configured, first_answer
from ledger import Ledger
from ledger_check import Check, unrecorded
from ledger_load import load
from local_server import running_server
from server_processes import wait_until
from warm_commands import strongroom, warm_server
from write_record import WriteRecord, with_cuts

_SESSIONS = 2
"""How often the recorded server starts. It is stopped in between, and killed at the end."""
_CALLS = 40
"""So many calls at least are answered in each session."""


class PowerCutCampaign:
    """Cuts off the power of a server with one of the settings of durability."""

    def __init__(self, scratch: Path, random: Random, durability: str, workers: int = 1) -> None:
        self._scratch = scratch
        self._random = random
        self._durability = durability
        self._options = ("--config", str(configured(scratch, durability)), "--workers", str(workers))
        self._record = WriteRecord(scratch / "data", scratch)
        self._ledger = Ledger(self._record.moment)
        self.tally = Tally(f"power cut, durability `{durability}`")

    def run(self, cuts: int, seconds: float = 1.5) -> Tally:
        """Record a load of some seconds at least for each session, then cut at ``cuts`` moments; return the counts."""
        numbers = itertools.count(1)
        for session in range(_SESSIONS):
            log = self._scratch / "log"
            with running_server(
                self._record.folder, log, *self._options, environment=self._record.environment
            ) as server:
                self._credentials = credentials_of(server)
                before = len(self._ledger.requests)
                with load(server, self._ledger, numbers):
                    time.sleep(seconds)
                    wait_until(lambda before=before: len(self._ledger.requests) > before + _CALLS)  # type: ignore[misc]
                    if session == _SESSIONS - 1:
                        server.process.kill()
                server.stop()
        moments = [self._random.randint(1, self._record.moment()) for _ in range(cuts)]
        for moment, folder in with_cuts(self._record, moments, self._scratch, self._random):
            self._restart(folder, moment)
        return self.tally

    def _restart(self, folder: Path, moment: int) -> None:
        """Start a server on what a cut has left, and compare it with the ledger."""
        self.tally.injected += 1
        self.tally.acknowledged += self._ledger.acknowledged(moment)
        start_machine_again(folder)
        log = self._scratch / f"log-{moment}"
        begun = time.monotonic()
        try:
            with warm_server(folder, log, *self._options) as server:
                self.tally.recovery.append(first_answer(server, begun, self._credentials))
                self._lose(moment, Check(server, self._ledger, moment, self._credentials).run())
                self._judge_log(folder, moment)
                server.stop()
        except SystemExit:
            self._judge_refusal(moment, log.read_text())

    def _judge_log(self, folder: Path, moment: int) -> None:
        lost = unrecorded(folder, self._ledger, moment)
        done = strongroom(folder, "audit", "verify")
        whole = "The log is whole." in done.stdout
        if lost and whole:
            self._lose(moment, [f"{len(lost)} answered calls have no record, and audit verify does not say so"])
        if lost and self._durability == "fsync":
            self._lose(moment, [f"{len(lost)} answered calls have no record"])
        if not lost and "not what was written" in done.stdout:
            self._lose(moment, [f"audit verify: {done.stdout}{done.stderr}"])
        told = "whole" if whole else "told by audit verify"
        self.tally.outcomes[f"{'records lost' if lost else 'all records there'}, {told}"] += 1

    def _judge_refusal(self, moment: int, said: str) -> None:
        last = said.strip().rpartition("\n")[2]
        if self._ledger.acknowledged(moment):
            self._lose(moment, [f"no start: {last}"])
        if "Traceback" in said:
            self._lose(moment, [f"a start ended with a traceback: {last}"])
        self.tally.outcomes[f"start refused: {last[:150]}"] += 1

    def _lose(self, moment: int, lost: list[str]) -> None:
        self.tally.lost += [f"at {moment}: {each}" for each in lost]


def start_machine_again(folder: Path) -> None:
    """Let what a folder says of the machine's start be of an earlier one, as after every power cut."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    earlier = boot.translate(str.maketrans("0123456789abcdef", "123456789abcdef0"))
    for path in [*folder.glob("audit/*.end"), folder / "clock"]:
        if path.exists():
            path.write_bytes(path.read_bytes().replace(boot.encode(), earlier.encode()))
