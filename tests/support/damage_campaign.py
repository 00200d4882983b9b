"""Damages copies of a stopped data folder, starts a server on each, and judges what it then says and does."""

import itertools
import re
import shutil
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import msgspec

from campaign import Random, Tally
from clients import credentials_of
from damage import Damage, How, changed_rows, choose, inflict, keep_database
from fast_client import FastClient, NoAnswer
from kept_decisions import Decisions
from ledger import Ledger
from ledger_check import Check, unrecorded
from ledger_load import LedgerLoad
from local_server import RunningServer
from warm_commands import strongroom, warm_server

_KEYS = 12
_WORKERS = ("--workers", "1")
"""A single process starts several times as fast."""
_SHOWN = 10
"""The most findings of one kind that a report has."""
_LOUD = re.compile(r"\b(WARNING|ERROR|CRITICAL)\b|\"level\": ?\"(warning|error|critical)\"", re.IGNORECASE)
_SERVER_FAULT = re.compile(r"\b5\d\d [A-Z]")


class Finding(msgspec.Struct, frozen=True):
    """A damage whose outcome must not be: what differs and, of the database, which rows."""

    damage: Damage
    differences: list[str]
    rows: str


class DamageCampaign:
    """``was_killed``: the folder was left by a kill, with a write-ahead log; else by an ordered stop."""

    def __init__(self, scratch: Path, random: Random, how: How, *, was_killed: bool) -> None:
        self._scratch = scratch
        self._random = random
        self._how = how
        self._ledger = Ledger()
        self._intact = scratch / "intact"
        left = "a kill" if was_killed else "a stop"
        self.tally = Tally(f"{how}, folder left by {left}")
        self.by_file: dict[str, Counter[str]] = {}
        """Kind of file → how often each outcome."""
        self.silent: list[Finding] = []
        """Something acknowledged is missing or different, and nothing says so."""
        self.wrong: list[Finding] = []
        """A wrong plaintext, or a permission that was never given."""
        self.rude: list[Finding] = []
        """A start that was refused without naming the file, or with a traceback."""
        self._make(was_killed=was_killed)

    def _make(self, *, was_killed: bool) -> None:
        with warm_server(self._intact, self._scratch / "log", *_WORKERS) as server:
            self._credentials = credentials_of(server)
            self._decisions = Decisions.made(server)
            made = LedgerLoad(FastClient(server), self._ledger, itertools.count())
            for number in range(_KEYS):
                made.live(number)
            made.close()
            if was_killed:
                server.process.kill()
            server.stop()
        keep_database(self._intact, self._scratch / "intact-database")

    def run(self, rounds: int) -> Tally:
        """Damage ``rounds`` copies; return the counts."""
        for _ in range(rounds):
            folder = self._scratch / "damaged"
            shutil.copytree(self._intact, folder)
            damage = choose(folder, self._random, self._how)
            inflict(folder, damage)
            keep_database(folder, self._scratch / "damaged-database")
            self._judge(folder, damage)
            shutil.rmtree(folder)
            shutil.rmtree(self._scratch / "damaged-database")
        self.tally.acknowledged = self._ledger.acknowledged() * rounds
        self.tally.lost = [f"{each.damage}: {each.differences[0]}" for each in self.wrong + self.silent]
        return self.tally

    def _judge(self, folder: Path, damage: Damage) -> None:
        self.tally.injected += 1
        log = self._scratch / "log"
        begun = time.monotonic()
        try:
            with warm_server(folder, log, *_WORKERS) as server:
                self.tally.recovery.append(time.monotonic() - begun)
                outcome = self._served(server, folder, damage)
        except SystemExit:
            outcome = self._refused(damage, log.read_text())
        except NoAnswer:
            outcome = "no answer"
        self.tally.outcomes[outcome] += 1
        self.by_file.setdefault(damage.kind_of_file, Counter())[outcome] += 1

    def _served(self, server: RunningServer, folder: Path, damage: Damage) -> str:
        differences = Check(server, self._ledger, credentials=self._credentials).run()
        differences = self._decisions.differences(server) + differences
        ready = _readiness(server)
        server.stop()
        verified = strongroom(folder, "audit", "verify")
        lost = unrecorded(folder, self._ledger)
        differences += [f"{len(lost)} answered calls have no record"] if lost else []
        is_loud = (
            ready != "ok"
            or "The log is whole." not in verified.stdout
            or _LOUD.search((self._scratch / "log").read_text()) is not None
        )
        # An error of the server is an answer, too: it releases nothing and says that something is wrong.
        missing = [each for each in differences if not _SERVER_FAULT.search(each)]
        if any(each.startswith("WRONG") for each in differences):
            self.wrong.append(self._finding(damage, differences))
            return "WRONG"
        if missing and not is_loud:
            self.silent.append(self._finding(damage, missing))
            return "SILENT"
        if differences:
            return "said so" if is_loud else "typed error only"
        return "nothing lost, and said so" if is_loud else "nothing lost"

    def _refused(self, damage: Damage, said: str) -> str:
        last = said.strip().rpartition("\n")[2]
        if Path(damage.file).name not in last or "Traceback" in said:
            self.rude.append(Finding(damage, [last], ""))
            return "start refused, file not named" if "Traceback" not in said else "start refused, traceback"
        return "start refused, file named"

    def _finding(self, damage: Damage, differences: list[str]) -> Finding:
        rows = changed_rows(self._scratch / "intact-database", self._scratch / "damaged-database")
        return Finding(damage, sorted(differences, key=_by_weight)[:3], rows)


def _by_weight(difference: str) -> bool:
    """Return what sorts wrong answers before all else."""
    return not difference.startswith("WRONG")


def _readiness(server: RunningServer) -> str:
    """Return what ``/readyz`` says."""
    try:
        with urllib.request.urlopen(f"{server.endpoint}/readyz", timeout=120) as answer:  # noqa: S310 - our own server
            text: bytes = answer.read()
    except urllib.error.HTTPError as error:
        return error.read().decode().strip()
    return text.decode().strip()


def report(campaign: DamageCampaign) -> str:
    """Return the counts by file and outcome, and the first of what was found, as lines."""
    counts = [
        f"{file}: {', '.join(f'{count} {outcome}' for outcome, count in outcomes.most_common())}"
        for file, outcomes in sorted(campaign.by_file.items())
    ]
    found = [
        f"{label}: {each.damage}\n    {each.differences}\n    {each.rows}"
        for label, findings in (("WRONG", campaign.wrong), ("SILENT", campaign.silent), ("RUDE", campaign.rude))
        for each in findings[:_SHOWN]
    ]
    return "\n".join([*counts, *found])
