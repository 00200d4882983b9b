"""Copies of a running server's folder made file by file, as a backup program would for any other files."""

import itertools
import shutil
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from campaign import Random, Tally
from clients import credentials_of
from damage import DATABASE, integrity
from kill_campaign import first_answer
from ledger import Ledger
from ledger_check import Check
from ledger_load import load
from warm_commands import strongroom, warm_server

COPIES_OF_A_RUN = 10
"""A server is copied so often; then a new one begins, so that folders stay small."""
_PAUSE = 0.03
"""The longest time between two files, and between two pieces of a file, seconds."""
_PIECE = 1 << 18
_WARM_UP = 0.5


class Copy(msgspec.Struct, frozen=True):
    """A copy, and the moments at which it was begun and complete."""

    path: Path
    begun: int
    complete: int


class WrongCopyCampaign:
    """Copies folders while clients work, and starts a server on each copy."""

    def __init__(self, scratch: Path, random: Random) -> None:
        self._scratch = scratch
        self._random = random
        self._runs = itertools.count()
        self.tally = Tally("copied file by file while it ran")

    def run(self, copies: int) -> Tally:
        """Make ``copies`` copies and start each; return the counts."""
        while (left := copies - self.tally.injected) > 0:
            self._one_server(min(left, COPIES_OF_A_RUN))
        return self.tally

    def _one_server(self, count: int) -> None:
        number, ledger = next(self._runs), Ledger()
        data = self._scratch / f"data{number}"
        with warm_server(data, self._scratch / "log") as server:
            self._credentials = credentials_of(server)
            with load(server, ledger, itertools.count(1)):
                time.sleep(_WARM_UP)
                made = [self._copy(data, self._scratch / f"copy{number}-{index}", ledger) for index in range(count)]
            server.stop()
        for each in made:
            self._start(each, ledger)
            shutil.rmtree(each.path)
        shutil.rmtree(data)

    def _copy(self, source: Path, target: Path, ledger: Ledger) -> Copy:
        """Copy all files, in any order, piece by piece, with pauses."""
        begun = ledger.moment()
        files = [path for path in source.rglob("*") if path.is_file()]
        self._random.shuffle(files)
        for path in files:
            copied = target / path.relative_to(source)
            copied.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # A draft may have got its name meanwhile.
            with suppress(FileNotFoundError):
                self._copy_file(path, copied)
        return Copy(target, begun, ledger.moment())

    def _copy_file(self, path: Path, to: Path) -> None:
        with path.open("rb") as reading, to.open("wb") as writing:
            while piece := reading.read(_PIECE):
                writing.write(piece)
                time.sleep(self._random.uniform(0, _PAUSE))
        to.chmod(0o600)

    def _start(self, copy: Copy, ledger: Ledger) -> None:
        self.tally.injected += 1
        self.tally.acknowledged += ledger.acknowledged(copy.begun)
        log, begun = self._scratch / "log", time.monotonic()
        try:
            with warm_server(copy.path, log, "--workers", "1") as server:
                self.tally.recovery.append(first_answer(server, begun, self._credentials))
                lost = Check(server, ledger, copy.begun, self._credentials, until=copy.complete).run()
                server.stop()
        except SystemExit:
            said = log.read_text()
            self.tally.outcomes["refused, with a traceback" if "Traceback" in said else "refused with words"] += 1
            return
        verified = strongroom(copy.path, "audit", "verify")
        is_loud = (
            "The log is whole." not in verified.stdout or "WARNING" in log.read_text() or "ERROR" in log.read_text()
        )
        if lost and not is_loud:
            self.tally.lost.append(f"{len(lost)} differences in silence: {lost[0]}")
        if integrity(copy.path / DATABASE) != "ok":
            self.tally.outcomes["served although SQLite's integrity check fails"] += 1
            if not is_loud:
                self.tally.lost.append("a corrupt database was served in silence")
        self.tally.outcomes["right" if not lost else "loss with words" if is_loud else "LOSS IN SILENCE"] += 1
