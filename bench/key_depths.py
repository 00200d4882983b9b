"""``make bench-hardware``: what key back ends add to the hardware, or to the network, that they call.

Each operation is measured through the key back end's interface, and as a bare loop of the same calls on the same token.
Both take turns in short spans, so that other load on the machine affects both alike. Exits with 1 if an operation of
half a millisecond or more in the token costs a quarter more through the interface.
"""

import argparse
import gc
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

import softhsm
from depth_pairs import Pair, full_pairs, root_pairs, software_pairs
from full_depth import address_of, full_depth_at
from measure import machine
from root_depth import root_depth_at
from strongroom.crypto.pkcs11.token_address import TokenAddress
from tables import print_table
from xks_pairs import xks_pairs

SPAN = 0.02
"""Seconds of one side of a pair, about, in one turn."""
TURNS = 12
"""Turns of both sides in one round."""
FASTEST = 5
"""One turn in so many is faster than what is printed. What else the machine does makes turns slower, and a loop that
never waits more than calls which pass from thread to thread; so the median would flatter these."""
LONG = 500.0
"""Microseconds in the token from which the overhead is bounded."""
MOST = 1.25
"""How much such an operation may cost through the interface, as a multiple of the bare one."""


class Result(NamedTuple):
    """Microseconds of one operation through the interface and bare."""

    depth: str
    name: str
    door: float
    bare: float

    @property
    def ratio(self) -> float:
        return self.door / self.bare

    def cells(self) -> list[str]:
        added = self.door - self.bare
        return [self.depth, self.name, f"{self.bare:,.1f}", f"{self.door:,.1f}", f"{added:,.1f}", f"{self.ratio:.2f}"]


def main() -> None:
    """Measure everything; print one table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(f"{machine()}; the fastest fifth of {rounds * TURNS} interleaved turns.\n")
    results = list[Result]()

    def rows() -> Iterator[list[str]]:
        for depth, pairs in depths():
            for result in measured(depth, pairs, rounds):
                results.append(result)
                yield result.cells()

    print_table(("Depth and token", "Operation", "bare µs", "through the interface µs", "added µs", "ratio"), rows())
    slow = [each for each in results if each.bare >= LONG and each.ratio > MOST]
    for each in slow:
        print(f"{each.depth}: {each.name} costs {each.ratio:.2f} times as much as the bare loop, more than {MOST}")
    raise SystemExit(1 if slow else 0)


def depths() -> Iterator[tuple[str, Iterable[Pair]]]:
    """Yield each depth with its pairs, one after the other: a process can have a module once."""
    yield "software", software_pairs()
    with address_of("softhsm") as address, root_depth_at(address) as root:
        yield "pkcs11-root, SoftHSM", root_pairs(root)
    with address_of("softhsm") as address, full_depth_at(address) as full:
        yield "pkcs11-full, SoftHSM", full_pairs(full)
    with address_of("nss") as address, full_depth_at(address) as full:
        yield "pkcs11-full, NSS", full_pairs(full)
    with slow_token() as (address, begin), root_depth_at(address) as root:
        yield "pkcs11-root, 1 ms a call", begin(root_pairs(root))
    with slow_token() as (address, begin), full_depth_at(address) as full:
        yield "pkcs11-full, 1 ms a call", begin(full_pairs(full))
    for distant in (False, True):
        with xks_pairs(distant=distant) as pairs:
            yield f"XKS, {'proxy 1 ms away' if distant else 'proxy on this machine'}", pairs


@contextmanager
def slow_token() -> Iterator[tuple[TokenAddress, Callable[[list[Pair]], list[Pair]]]]:
    """Make a token each of whose calls takes a millisecond longer once ``begin`` was given what is measured."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        module = softhsm.FaultyModule(Path(name))
        for variable, value in {**softhsm.new_token(Path(name)), **module.environment}.items():
            patch.setenv(variable, value)

        def begin(pairs: list[Pair]) -> list[Pair]:
            module.behave("slow 1")
            return pairs

        yield TokenAddress(module.path, softhsm.LABEL, softhsm.PIN), begin
        module.behave("")


def measured(depth: str, pairs: Iterable[Pair], rounds: int) -> Iterator[Result]:
    """Measure each pair; the two sides take turns, and the one that begins changes."""
    for pair in pairs:
        calls = max(4, int(SPAN / (pair.bare(4) / 4)))
        door, bare = list[float](), list[float]()
        for number in range(rounds * TURNS):
            gc.collect()
            for side in (0, 1) if number % 2 else (1, 0):
                if side:
                    door.append(_timed(pair.door, calls))
                else:
                    bare.append(pair.bare(calls) / calls * 1e6)
        door_time, bare_time = (sorted(each)[len(each) // FASTEST] for each in (door, bare))
        yield Result(depth, pair.name, door_time, bare_time)


def _timed(call: Callable[[], object], calls: int) -> float:
    """Return the microseconds of one call."""
    begun = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - begun) / calls * 1e6


if __name__ == "__main__":
    main()
