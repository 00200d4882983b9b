"""`make bench`: Strongroom beside hello-world on the same HTTP front, OpenBao, moto and OpenSSL, in one run.

Every server runs from beginning to end, and each round measures each call to each server, so that other load on the
machine affects all alike. Requests are signed by botocore and differ; answers are checked before and during the load;
each call must have left a record.
"""

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from statistics import median

import http_fronts
from contender import Call, Contender
from load import Reply, Request, ask, drive, storm
from measure import Load, machine
from moto_server import moto
from openbao import openbao
from openssl_speed import Speed, rsa_2048
from servers import serving
from strongroom_server import can_fork, contender_name, strongroom
from tables import HEAD, print_table, ratio, row

HELLO = "hello-world"
ALONE, STORM = "Encrypt, alone", "Encrypt, while others sign"
STORM_CONNECTIONS = 8
# Of so many prepared requests, the answer to one is checked while the load runs.
SAMPLED = 7
DURABILITIES = ("write", "fsync")
RATIOS = ("cpu_each", "per_second")

Results = dict[tuple[str, str], list[Load]]


@contextmanager
def hello(folder: Path) -> Iterator[Contender]:
    """Run the floor: the same HTTP front without a service."""

    def check(_request: Request, reply: Reply) -> None:
        assert reply.status == 200

    with serving(next(iter(http_fronts.FRONTS.values())), folder / "hello.log") as server:
        yield Contender(HELLO, server, [Call(HELLO, lambda: [http_fronts.HELLO], check)])


class Comparison:
    """Contenders, the results of their calls, and how many calls each was sent."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self._sent: Counter[str] = Counter()
        self.results: Results = {}
        self.speeds: list[Speed] = []

    def measure(self, contender: Contender, call: Call) -> None:
        """Measure one call for one round."""
        self._run(contender, call, call.name)

    def measure_storm(self, contender: Contender) -> None:
        """Measure Encrypt alone, and again while another client signs as fast as it can."""
        calls = {call.name: call for call in contender.calls}
        self._run(contender, calls["Encrypt"], ALONE)
        signing = calls["Sign RSA-2048"].prepare()
        with storm(contender.server, signing, self._seconds + 5, STORM_CONNECTIONS):
            self._run(contender, calls["Encrypt"], STORM)

    def require_records(self, contender: Contender) -> None:
        """Raise unless every call left a record."""
        if contender.records is not None:
            assert contender.records() >= self._sent[contender.name], f"{contender.name}: calls without a record"

    def _run(self, contender: Contender, call: Call, name: str) -> None:
        requests = call.prepare()

        samples = cycle(requests[::SAMPLED])

        def sample() -> None:
            request = next(samples)
            call.check(request, ask(contender.server, request))

        sample()
        load = drive(contender.server, requests, self._seconds, meanwhile=sample)
        if load.errors:
            raise SystemExit(f"{contender.name}, {name}: {load.errors} errors")
        self._sent[contender.name] += load.requests
        self.results.setdefault((contender.name, name), []).append(load)


def run(rounds: int, seconds: int, workers: list[int]) -> Comparison:
    comparison = Comparison(seconds)
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch, ExitStack() as running:
        folder = Path(scratch)
        ours = [
            running.enter_context(strongroom(folder, durability, count))
            for count in workers
            for durability in DURABILITIES
        ]
        others = [running.enter_context(each(folder)) for each in (hello, openbao, moto)]
        for turn in range(rounds):
            print(f"Round {turn + 1} of {rounds} ...", file=sys.stderr, flush=True)
            for contender in (*others, *ours):
                for call in contender.calls:
                    comparison.measure(contender, call)
            for contender in ours:
                comparison.measure_storm(contender)
            comparison.speeds.append(rsa_2048())
        for contender in (*others, *ours):
            comparison.require_records(contender)
    return comparison


def print_calls(results: Results) -> None:
    floor = results[HELLO, HELLO]
    for server in dict.fromkeys(server for server, _ in results):
        print(f"{server}\n")
        found = {call: loads for (name, call), loads in results.items() if name == server}
        print_table(HEAD, (row(call, loads, floor) for call, loads in found.items() if call not in {ALONE, STORM}))


def print_workers(results: Results, workers: int) -> None:
    """Print several workers as multiples of one."""
    for durability in DURABILITIES:
        one, more = contender_name(durability, 1), contender_name(durability, workers)
        print(f"{more}, as multiples of one\n")
        print_table(
            ("Call", "CPU a call", "requests/s"),
            (
                [call, *(f"{ratio(figure, loads, results[one, call]):.2f}" for figure in RATIOS)]
                for (name, call), loads in results.items()
                if name == more and call not in {ALONE, STORM}
            ),
        )


def print_others(results: Results) -> None:
    """Print others as multiples of ours with ``write``: OpenBao does not wait for the disk either."""
    ours = contender_name("write", 1)
    print(f"Others as multiples of {ours}\n")
    pairs = {
        ("OpenBao", "encrypt"): "Encrypt",
        ("OpenBao", "decrypt"): "Decrypt",
        ("OpenBao", "sign rsa-2048"): "Sign RSA-2048",
        ("OpenBao", "sign ecdsa-p256"): "Sign P-256",
        ("moto", "Encrypt"): "Encrypt",
    }
    print_table(
        ("Call", "CPU a call", "requests/s"),
        (
            [
                f"{server}: {call}",
                *(f"{ratio(figure, results[server, call], results[ours, own]):.2f}" for figure in RATIOS),
            ]
            for (server, call), own in pairs.items()
        ),
    )


def print_openssl(results: Results, speeds: list[Speed]) -> None:
    cost, rate = median(each.cpu_each for each in speeds), median(each.per_second for each in speeds)
    print(
        f"RSA-2048 signatures: OpenSSL alone takes {cost:.0f} µs of CPU, and makes {rate:,.0f} a second on all cores\n"
    )
    print_table(
        ("Sign RSA-2048", "rate of OpenSSL's", "CPU of OpenSSL's"),
        (
            [
                server,
                f"{median(a.per_second / b.per_second for a, b in zip(loads, speeds, strict=True)):.2f}",
                f"{median(a.cpu_each / b.cpu_each for a, b in zip(loads, speeds, strict=True)):.2f}",
            ]
            for (server, call), loads in results.items()
            if call in {"Sign RSA-2048", "sign rsa-2048"}
        ),
    )


def print_storms(results: Results) -> None:
    print(f"Encrypt while another client signs with RSA-2048 over {STORM_CONNECTIONS} connections\n")
    print_table(
        ("Server", "p99 ms alone", "p99 ms in the storm", "ratio", "requests/s alone", "requests/s in the storm"),
        (
            [
                server,
                *(f"{median(each.p99 for each in loads) / 1000:.1f}" for loads in (alone, results[server, STORM])),
                f"{ratio('p99', results[server, STORM], alone):.2f}",
                *(f"{median(each.per_second for each in loads):,.0f}" for loads in (alone, results[server, STORM])),
            ]
            for (server, call), alone in results.items()
            if call == ALONE
        ),
    )


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=2)
    options.add_argument("--workers", type=int, default=os.cpu_count())
    given = options.parse_args()
    print(f"{machine()}; {sys.executable}")
    print(
        f"wrk, 1 thread, 32 connections; {given.rounds} interleaved rounds of {given.seconds} s, medians\n", flush=True
    )
    workers = [1, given.workers] if can_fork() and given.workers > 1 else [1]
    if workers == [1]:
        print("`strongroom serve` has no --workers here, or one was asked for: one worker only\n")
    comparison = run(given.rounds, given.seconds, workers)
    print_calls(comparison.results)
    for count in workers[1:]:
        print_workers(comparison.results, count)
    print_others(comparison.results)
    print_openssl(comparison.results, comparison.speeds)
    print_storms(comparison.results)


if __name__ == "__main__":
    main()
