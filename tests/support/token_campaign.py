"""Makes a hardware token fail under load: gone, slow, hanging, and back; then compares the server with a ledger.

SoftHSM stands behind a module that fails on command (``faulty_module.c``). Clients whose calls need the token take keys
through their lives and note what was acknowledged. While the token is there, nothing may be refused. A process of its
own makes calls that need no token (``token_probes``): none of them may be refused at any time.
"""

import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from statistics import median

import msgspec

from campaign import Random, Tally
from fast_client import CallRefused, FastClient
from ledger import Attempt, Kind, Ledger, Subject
from ledger_check import Check, unrecorded
from ledger_load import LedgerLoad
from local_server import RunningServer, running_server
from proof_load import Proof, ProofLoad, differences
from server_processes import wait_until
from softhsm import FaultyModule, new_token, token_settings
from timed_client import Sample, TimedClient
from token_probes import ProbedKeys, Probes
from warm_commands import strongroom

ROUNDS_OF_A_FOLDER = 4
"""A folder is served so often; then a new one begins, so that comparisons stay short."""
_CLIENTS = 10
"""So many clients take symmetric keys through a life; one more makes codes and signatures. A server has fewer threads
for calls of the token, so a token that hangs takes all of them."""
_CALM = 1.5
"""Seconds that the token is there between two faults."""
_PAUSE = 0.04
"""Seconds from the answer to one call of a client to its next call."""
_BACK = 120.0
"""Seconds after which a token that is back must be used again."""
_EXPECTED = {"KMSInternalException", "DependencyTimeoutException"}
"""What calls that need the token may be refused with while it is away."""


class Fault(StrEnum):
    """What happens to the token."""

    GONE = "gone"
    SLOW = "slow"
    HANGS = "hanging for a moment"
    HANGS_LONG = "hanging for longer than calls wait"


_BEHAVIOUR = {Fault.GONE: "gone", Fault.SLOW: "slow 20", Fault.HANGS: "hang", Fault.HANGS_LONG: "hang"}
_SECONDS = {Fault.GONE: (0.5, 4.0), Fault.SLOW: (1.0, 4.0), Fault.HANGS: (0.3, 3.0), Fault.HANGS_LONG: (6.0, 8.0)}


class Window(msgspec.Struct, frozen=True):
    """A span of time in which the token is well (``fault`` is None), or not. Monotonic nanoseconds."""

    fault: Fault | None
    begun: int
    ended: int


class TokenCampaign:
    """Faults of a token while a server with some ``key-protection`` works."""

    def __init__(self, scratch: Path, random: Random, protection: str, workers: int = 1) -> None:
        self._scratch = scratch
        self._random = random
        self._module = FaultyModule(scratch)
        self._environment = {
            **new_token(scratch),
            **self._module.environment,
            **token_settings(scratch, self._module.path),
            "STRONGROOM_KEY_PROTECTION": protection,
        }
        self._options = ("--workers", str(workers))
        self._uses_loaded = protection == "pkcs11-root"
        self._faults = self._order()
        self.refused = 0
        """How many calls that need the token were refused while it was away."""
        self.milliseconds: dict[tuple[Fault | None, bool], list[float]] = defaultdict(list)
        """How long calls that need no token took: by what the token did, and whether they write to the database."""
        self.ratios: dict[Fault | None, list[float]] = defaultdict(list)
        """For each fault, the 99th percentile of reads that need no token, as a multiple of that of the seconds before
        and after: what else the machine does changes from minute to minute."""
        self.tally = Tally(f"token gone, slow or hanging, and back, `{protection}`")

    def run(self, rounds: int) -> Tally:
        """Inject so many faults; return the counts."""
        for first in range(0, rounds, ROUNDS_OF_A_FOLDER):
            self._run_folder(self._scratch / f"data{first}", min(ROUNDS_OF_A_FOLDER, rounds - first))
        return self.tally

    def quantile(self, part: float, fault: Fault | None, *, writes: bool) -> float:
        """Return how many milliseconds calls that need no token took at most, this part of them; 0 without calls."""
        return _quantile(self.milliseconds[fault, writes], part)

    def report(self) -> str:
        """Return a table of how long calls that need no token took, by what the token did."""
        lines = ["| Token | calls | reads p50, p99 ms | writes p50, p99 ms | p99 of reads, of before and after |"]
        lines.append("|---" * lines[0].count(" | ") + "|---|")
        for fault in (None, *Fault):
            number = sum(len(self.milliseconds[fault, writes]) for writes in (False, True))
            cells = [
                ", ".join(f"{self.quantile(part, fault, writes=writes):.1f}" for part in (0.5, 0.99))
                for writes in (False, True)
            ]
            ratio = f"{median(self.ratios[fault]):.2f}" if fault in self.ratios else "-"
            lines.append(f"| {fault or 'there'} | {number:,} | {' | '.join(cells)} | {ratio} |")
        return "\n".join(lines)

    def _order(self) -> Iterator[Fault]:
        """Yield faults: all, in a random order, again and again."""
        while True:
            faults = [*Fault]
            self._random.shuffle(faults)
            yield from faults

    def _run_folder(self, data: Path, rounds: int) -> None:
        ledger, proofs = Ledger(), list[Proof]()
        with self._server(data) as server:
            self._work(server, ledger, proofs, rounds)
            self._compare(server, ledger, proofs)
            server.stop()
        self._verify(data, ledger)
        with self._server(data) as server:
            self._compare(server, ledger, proofs)
            server.stop()
        self._verify(data, ledger)
        self.tally.acknowledged += ledger.acknowledged()

    @contextmanager
    def _server(self, data: Path) -> Iterator[RunningServer]:
        log = self._scratch / "log"
        with running_server(data, log, *self._options, environment=self._environment) as server:
            yield server
        if "Traceback" in (said := log.read_text()):
            self.tally.lost.append(f"a traceback in the log: {said[-1000:]}")

    def _work(self, server: RunningServer, ledger: Ledger, proofs: list[Proof], rounds: int) -> None:
        """Let all clients work while the token fails so many times."""
        numbers = itertools.count(1)
        clients = [TimedClient(server, _PAUSE) for _ in range(_CLIENTS + 1)]
        prover = ProofLoad(clients[0], ledger)
        loads = [LedgerLoad(each, ledger, numbers, "RSAES_OAEP_SHA_1") for each in clients[1:]]
        probes, own = Probes(), TimedClient(server)
        with probes.running(server, self._probed(own, ledger)), _running([prover.run, *(each.run for each in loads)]):
            windows = self._windows(own, clients, ledger, rounds)
        proofs += prover.proofs
        self._judge([*own.samples, *itertools.chain.from_iterable(each.samples for each in clients)], windows)
        self._judge_probes(probes.samples, windows, ledger)
        own.close()

    def _probed(self, client: FastClient, ledger: Ledger) -> ProbedKeys:
        described, loaded = (_create(client, ledger) for _ in range(2))
        signer = _create(client, ledger, KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
        return ProbedKeys(described, signer, loaded if self._uses_loaded else "")

    # --- faults

    def _windows(self, own: FastClient, clients: list[TimedClient], ledger: Ledger, rounds: int) -> list[Window]:
        """Let the token fail so many times; return the spans of time in which it was well and in which it was not."""
        windows, now = [], time.monotonic_ns
        try:
            for fault in itertools.islice(self._faults, rounds):
                windows.append(_calm())
                begun = now()
                self._module.behave(_BEHAVIOUR[fault])
                time.sleep(self._random.uniform(*_SECONDS[fault]))
                self._module.behave("")
                back = now()
                self.tally.recovery.append(_recovered(own, ledger))
                _wait_for_all(clients, back)
                windows.append(Window(fault, begun, now()))
                self.tally.injected += 1
                self.tally.outcomes[f"{fault}"] += 1
            windows.append(_calm())
        finally:
            # Nothing ends while its calls hang.
            self._module.behave("")
        return windows

    # --- judgement

    def _judge(self, samples: list[Sample], windows: list[Window]) -> None:
        """Look at what calls that need the token were refused with, and when."""
        for sample in samples:
            if not sample.refused:
                continue
            self.refused += 1
            if sample.refused not in _EXPECTED:
                self.tally.lost.append(f"{sample.operation}: {sample.refused}")
            elif any(
                each.fault is None and each.begun <= sample.begun and sample.ended <= each.ended for each in windows
            ):
                self.tally.lost.append(f"{sample.operation}: {sample.refused} while the token was there")

    def _judge_probes(self, samples: list[Sample], windows: list[Window], ledger: Ledger) -> None:
        """Look at calls that need no token, and note in the ledger what they changed."""
        for sample in samples:
            if sample.refused:
                self.tally.lost.append(f"{sample.operation} needs no token: {sample.refused}")
            else:
                ledger.requests[sample.request_id] = sample.ended
            if sample.alias:
                answered = None if sample.refused else sample.ended
                ledger.subjects[Subject(Kind.ALIAS, sample.alias)].append(
                    Attempt(sample.key_id, sample.begun, answered)
                )
        taken = [[each for each in samples if window.begun <= each.begun < window.ended] for window in windows]
        for window, found in zip(windows, taken, strict=True):
            for sample in found:
                self.milliseconds[window.fault, bool(sample.alias)].append(sample.milliseconds)
        for number, window in enumerate(windows):
            if window.fault is not None and (well := _reads([*taken[number - 1], *taken[number + 1]])):
                self.ratios[window.fault].append(_quantile(_reads(taken[number]), 0.99) / _quantile(well, 0.99))

    def _compare(self, server: RunningServer, ledger: Ledger, proofs: list[Proof]) -> None:
        client = FastClient(server)
        self.tally.lost += Check(server, ledger).pin() + differences(client, proofs)
        client.close()

    def _verify(self, data: Path, ledger: Ledger) -> None:
        self.tally.lost += [f"the answered call {each} has no record" for each in unrecorded(data, ledger)]
        done = strongroom(data, "audit", "verify")
        if "The log is whole." not in done.stdout:
            self.tally.lost.append(f"audit verify: {done.stdout}{done.stderr}")


@contextmanager
def _running(works: list[Callable[[threading.Event], None]]) -> Iterator[None]:
    """Do each work on a thread while the block runs; then wait for all to end."""
    ended = threading.Event()
    threads = [threading.Thread(target=work, args=(ended,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _calm() -> Window:
    begun = time.monotonic_ns()
    time.sleep(_CALM)
    return Window(None, begun, time.monotonic_ns())


def _create(client: FastClient, ledger: Ledger, **request: str) -> str:
    sent = ledger.moment()
    key_id: str = client("CreateKey", **request)["KeyMetadata"]["KeyId"]
    ledger.began(Subject(Kind.STATE, key_id), "Enabled", sent)
    ledger.answered(client.request_id)
    return key_id


def _recovered(client: FastClient, ledger: Ledger) -> float:
    """Make keys until that is answered; return the seconds that it took. Raises AssertionError after a while."""
    begun = time.monotonic()
    while True:
        try:
            _create(client, ledger)
        except CallRefused:
            assert time.monotonic() - begun < _BACK
        else:
            return time.monotonic() - begun


def _wait_for_all(clients: list[TimedClient], since: int) -> None:
    """Wait until each client has made a key that it asked for after a moment; raises AssertionError after a while."""
    wait_until(lambda: all(_has_made_a_key(each, since) for each in clients))


def _has_made_a_key(client: TimedClient, since: int) -> bool:
    late = itertools.takewhile(lambda sample: sample.begun >= since, reversed(client.samples))
    return any(sample.operation == "CreateKey" and not sample.refused for sample in late)


def _reads(samples: list[Sample]) -> list[float]:
    """Return how many milliseconds those calls took that write nothing."""
    return [each.milliseconds for each in samples if not each.alias]


def _quantile(values: list[float], part: float) -> float:
    return sorted(values)[int(part * (len(values) - 1))] if values else 0.0
