"""Processes of clients in a storm: they use all switches of a deployment all the time, and note what they observed."""

import itertools
import threading
import time
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from struct import Struct

import msgspec

from fast_client import NoAnswer
from prepared_client import PreparedClient
from switches import Use, WrongAnswer

RECORD = Struct("<qqhh")
"""A use: when it began and ended (nanoseconds, monotonic), the number of the switch, and what was observed."""
OFF, ON, UNAVAILABLE, UNANSWERED = range(4)
_THREADS = 3
_PATIENCE = 90.0
_PAUSE = 0.004
_AFTER_NO_ANSWER = 0.1


class Observation(msgspec.Struct, frozen=True):
    """One use. ``connection`` has the numbers of the server and of the connection to it."""

    began: int
    ended: int
    switch: int
    found: int
    connection: str


class StormClients:
    """One process for each port, with three connections. ``folder`` is for what they note."""

    def __init__(self, folder: Path, ports: list[int], uses: list[Use]) -> None:
        self._folder = folder
        context = get_context("forkserver")
        context.set_forkserver_preload(["storm_clients"])
        self._ended: Event = context.Event()
        self._processes: list[BaseProcess] = []
        for number, port in enumerate(ports):
            given = (folder / f"uses-{number}", port, uses, self._ended)
            self._processes.append(context.Process(target=_run, args=given, daemon=True))
        for process in self._processes:
            process.start()

    def end(self) -> None:
        """Have all end; raises AssertionError if one has failed."""
        self._ended.set()
        for process in self._processes:
            process.join(_PATIENCE + 30)
            assert process.exitcode == 0, f"a process of clients ended with {process.exitcode}"

    def kill(self) -> None:
        """Kill all."""
        for process in self._processes:
            process.kill()
            process.join()

    @property
    def connections(self) -> list[str]:
        """The names of all connections, as observations have them."""
        return [f"uses-{number}-{thread}" for number in range(len(self._processes)) for thread in range(_THREADS)]

    def count(self) -> int:
        """Return how many uses were noted."""
        return sum(path.stat().st_size for path in self._folder.glob("uses-*.bin")) // RECORD.size

    def observations(self) -> Iterator[Observation]:
        """Yield what was observed, each connection in order."""
        for path in sorted(self._folder.glob("uses-*.bin")):
            content = path.read_bytes()
            whole = len(content) - len(content) % RECORD.size
            for began, ended, switch, found in RECORD.iter_unpack(content[:whole]):
                yield Observation(began, ended, switch, found, path.stem)

    def wrong(self) -> list[str]:
        """Return answers that no client may get, one line each."""
        return [line for path in sorted(self._folder.glob("uses-*.wrong")) for line in path.read_text().splitlines()]


def _run(notes: Path, port: int, uses: list[Use], ended: Event) -> None:
    threads = [
        threading.Thread(target=_use, args=(notes.with_name(f"{notes.name}-{number}"), port, uses, ended))
        for number in range(_THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _use(notes: Path, port: int, uses: list[Use], ended: Event) -> None:
    client = PreparedClient(port, _PATIENCE)
    # Unbuffered: others read it meanwhile.
    with notes.with_suffix(".bin").open("ab", buffering=0) as found, notes.with_suffix(".wrong").open("a") as wrong:
        for number in itertools.cycle(range(len(uses))):
            if ended.is_set():
                return client.close()
            began = time.monotonic_ns()
            try:
                observed = uses[number].observed(*client(number, uses[number].call))
                outcome = UNAVAILABLE if observed is None else ON if observed else OFF
            except NoAnswer:
                outcome = UNANSWERED
                time.sleep(_AFTER_NO_ANSWER)
            except WrongAnswer as error:
                wrong.write(f"{error}\n")
                continue
            found.write(RECORD.pack(began, time.monotonic_ns(), number, outcome))
            time.sleep(_PAUSE)
    return None
