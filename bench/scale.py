"""`make bench-scale`: what Encrypt, a start and a connection cost with many keys, grants and idle connections.

Each comparison has a small and a large data folder, measured in turn. Both get the same number of requests, all
different, so that both pay the same for caches that depend on requests. Keys and grants are written to the store in
large transactions; the measured calls go over the wire, signed and checked.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import boto3
from botocore.credentials import Credentials

from idle import answered, idle_connections
from kms_calls import Kms, encoded
from load import Request, ask, drive
from local_server import running_server
from measure import Load, machine
from processes import tree_memory
from servers import Server
from strongroom_server import endpoint
from tables import MEGABYTE, print_table, ratio
from worlds import REGION, add_granted_key, add_keys, key_id, tenant

FEW = 10
GRANTS = 50_000
# Fewer than the keys that a server keeps ready (cached-keys), so that all can be warm.
SPREAD = 10_000
# One of several workers gets each request: after so many times, one request in two hundred has not reached both of two.
WARMING = 8
# More first uses per second than there can be.
FASTEST = 25_000
# Requests are signed once for all rounds, so that signatures have to be good for longer than usual.
SETTINGS = "clock-skew = 86400\nidle-time = 600\nrequest-time = 600\n"


class Running(NamedTuple):
    """A server over a filled data folder."""

    server: Server
    kms: Kms

    def encrypts(self, numbers: Sequence[int], contexts: Sequence[dict[str, str]] | None = None) -> list[Request]:
        """Return signed Encrypts with keys by their numbers, each of another plaintext."""
        contexts = contexts or [tenant(number) for number in numbers]
        bodies = [
            {"KeyId": key_id(number), "Plaintext": encoded(b"%064d" % turn), "EncryptionContext": context}
            for turn, (number, context) in enumerate(zip(numbers, contexts, strict=True))
        ]
        return self.kms.signed("Encrypt", bodies)


class Scale:
    """The folders and the length of everything."""

    def __init__(self, folder: Path, rounds: int, seconds: int) -> None:
        self.folder = folder
        self.rounds = rounds
        self.seconds = seconds
        self._settings = folder / "strongroom.toml"
        self._settings.write_text(SETTINGS)

    @contextmanager
    def running(self, data: Path) -> Iterator[Running]:
        log = data.with_suffix(".log")
        with running_server(data, log, "--config", str(self._settings)) as started:
            yield Running(*endpoint(started))
            assert started.stop() == 0

    def load(self, running: Running, requests: list[Request]) -> Load:
        """Measure some requests; the first is asked once more, to see that it is answered."""
        load = drive(running.server, requests, self.seconds)
        assert load.errors == 0, load
        assert ask(running.server, requests[0]).status == 200
        return load


def print_loads(loads: dict[str, list[Load]]) -> None:
    first = next(iter(loads.values()))
    print_table(
        ("Encrypt", "CPU µs", "ratio", "requests/s", "p99 ms", "memory MB"),
        (
            [
                name,
                f"{median(each.cpu_each for each in found):.1f}",
                f"{ratio('cpu_each', found, first):.2f}",
                f"{median(each.per_second for each in found):,.0f}",
                f"{median(each.p99 for each in found) / 1000:.1f}",
                f"{max(each.memory for each in found) / MEGABYTE:.0f}",
            ]
            for name, found in loads.items()
        ),
    )


def measure_keys(scale: Scale, few: Path, many: Path, count: int) -> None:
    """Encrypt with a few keys repeatedly, with many in turn, and with each for the first time."""
    hot, spread = [number % FEW for number in range(SPREAD)], range(FEW, FEW + SPREAD)
    fresh = (count - spread.stop) // scale.rounds
    results: dict[str, list[Load]] = {}
    with scale.running(few) as small, scale.running(many) as large:
        prepared = {
            f"{FEW} keys": (small, small.encrypts(hot)),
            f"{FEW} of {count:,} keys": (large, large.encrypts(hot)),
            f"{SPREAD:,} of {count:,} keys": (large, large.encrypts(spread)),
        }
        warm(large, large.encrypts(spread))
        for turn in range(scale.rounds):
            for name, (running, requests) in prepared.items():
                results.setdefault(name, []).append(scale.load(running, requests))
            start = spread.stop + turn * fresh
            requests = large.encrypts(range(start, start + min(fresh, scale.seconds * FASTEST)))
            load = scale.load(large, requests)
            assert load.requests < len(requests), "too few keys: some were used twice"
            results.setdefault(f"each of {count:,} keys for the first time", []).append(load)
    print_loads(results)


def warm(running: Running, requests: list[Request]) -> None:
    """Send each request so often that nearly every worker has had it."""
    for _ in range(WARMING):
        sent = 0
        while sent <= len(requests):
            sent += drive(running.server, requests[sent:] or requests, 2).requests


def measure_grants(scale: Scale) -> None:
    """Encrypt as a user who is allowed only by a grant."""
    results: dict[str, list[Load]] = {}
    firsts: dict[int, float] = {}
    with ExitStack() as stack:
        prepared = {}
        for count in (1, GRANTS):
            data = scale.folder / f"grants-{count}"
            user = new_user(scale, data)
            add_granted_key(data, user.unique_id, count)
            started = stack.enter_context(scale.running(data))
            running = Running(started.server, Kms(started.kms.endpoint, user.credentials))
            # Spread over the grants, each of which names another tenant.
            tenants = [tenant(turn * count // SPREAD) for turn in range(SPREAD)]
            requests = running.encrypts([0] * SPREAD, tenants)
            firsts[count] = first_answer(running.server, requests[0])
            warm(running, requests)
            prepared[count] = (running, requests)
        for _ in range(scale.rounds):
            for count, (running, requests) in prepared.items():
                results.setdefault(f"{count:,} grant{'s' * (count > 1)} on the key", []).append(
                    scale.load(running, requests)
                )
    print_loads(results)
    print("First call of the grantee: " + ", ".join(f"{firsts[n] * 1000:.0f} ms with {n:,}" for n in firsts) + "\n")


class User(NamedTuple):
    """An IAM user with an access key."""

    unique_id: str
    credentials: Credentials


def new_user(scale: Scale, data: Path) -> User:
    with scale.running(data) as started:
        iam = boto3.client(
            "iam",
            endpoint_url=started.kms.endpoint,
            region_name=REGION,
            aws_access_key_id=started.kms.credentials.access_key,
            aws_secret_access_key=started.kms.credentials.secret_key,
        )
        unique_id = iam.create_user(UserName="shop")["User"]["UserId"]
        key = iam.create_access_key(UserName="shop")["AccessKey"]
    return User(unique_id, Credentials(key["AccessKeyId"], key["SecretAccessKey"]))


def first_answer(server: Server, request: Request) -> float:
    """Return how long one call takes, in seconds."""
    start = time.perf_counter()
    assert ask(server, request).status == 200
    return time.perf_counter() - start


def measure_starts(scale: Scale, few: Path, many: Path, count: int) -> None:
    """Start a server until it has answered one Encrypt."""
    times: dict[int, list[float]] = {FEW: [], count: []}
    memory = dict.fromkeys(times, 0)
    for _ in range(scale.rounds):
        for size, data in ((FEW, few), (count, many)):
            start = time.perf_counter()
            with scale.running(data) as running:
                assert ask(running.server, running.encrypts([0])[0]).status == 200
                times[size].append(time.perf_counter() - start)
                memory[size] = max(memory[size], tree_memory(running.server.pid))
    ratios = [slow / fast for slow, fast in zip(times[count], times[FEW], strict=True)]
    print_table(
        ("From start to first answer", "seconds", "ratio", "memory MB"),
        (
            [
                f"{size:,} keys",
                f"{median(found):.2f}",
                f"{median(ratios) if size == count else 1:.2f}",
                f"{memory[size] / MEGABYTE:.0f}",
            ]
            for size, found in times.items()
        ),
    )


def measure_idle(scale: Scale, few: Path, count: int) -> None:
    """Encrypt while so many other connections wait."""
    results: dict[str, list[Load]] = {}
    with scale.running(few) as running:
        requests = running.encrypts([number % FEW for number in range(SPREAD)])
        results["no idle connections"] = [scale.load(running, requests) for _ in range(scale.rounds)]
        before = tree_memory(running.server.pid)
        with idle_connections(running.server, requests[0], count) as idle:
            each = (tree_memory(running.server.pid) - before) / count
            results[f"{count:,} idle connections"] = [scale.load(running, requests) for _ in range(scale.rounds)]
            for connection in idle[:: count // 100]:
                assert answered(connection, running.server, requests[0]), "an idle connection was dropped"
    print_loads(results)
    print(f"Memory of an idle connection: {each / 1024:.1f} KB\n")


def allow_connections(count: int) -> None:
    """Raise the limit on open files, which the servers started here inherit."""
    wanted = count + 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard not in range(wanted):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    else:
        raise SystemExit(f"{count} connections need a limit of {wanted} open files; it is {hard}")


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--keys", type=int, default=100_000)
    options.add_argument("--idle", type=int, default=10_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=2)
    given = options.parse_args()
    allow_connections(given.idle)
    print(f"{machine()}; {sys.executable}")
    print(
        f"wrk, 1 thread, 32 connections; {given.rounds} interleaved rounds of {given.seconds} s, medians\n", flush=True
    )
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        scale = Scale(Path(scratch), given.rounds, given.seconds)
        few, many = Path(scratch) / "few", Path(scratch) / "many"
        add_keys(few, FEW)
        start = time.perf_counter()
        add_keys(many, given.keys)
        print(f"{given.keys:,} keys were added in {time.perf_counter() - start:.0f} s\n", flush=True)
        measure_starts(scale, few, many, given.keys)
        measure_keys(scale, few, many, given.keys)
        measure_grants(scale)
        measure_idle(scale, few, given.idle)


if __name__ == "__main__":
    main()
