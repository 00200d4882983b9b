"""Each fuzz target over its seeds, then for a second over random changes of them. ``make fuzz`` goes on for hours."""

import time
import zlib

import pytest

from campaign import seeded
from mutations import mutated
from targets import MAX_LENGTH, SEEDS, TARGETS, seeds_of

SECONDS = 1.0
LONGEST = 5.0
"""Seconds that one input may take, on a busy machine; nearly all take less than a millisecond."""


def test_every_target_has_seeds() -> None:
    """And no folder of seeds is without its target."""
    assert {path.name for path in SEEDS.iterdir()} == set(TARGETS)
    assert all(seeds_of(name) for name in TARGETS)
    assert all(len(seed) <= MAX_LENGTH for name in TARGETS for seed in seeds_of(name))


@pytest.mark.parametrize("name", TARGETS)
def test_no_promise_is_broken(name: str) -> None:
    target, seeds = TARGETS[name], seeds_of(name)
    for seed in seeds:
        target(seed)
    # The same inputs each time, but for how many there is time.
    random, end = seeded(zlib.crc32(name.encode())), time.monotonic() + SECONDS
    while (begun := time.monotonic()) < end:
        data = mutated(random, seeds)
        try:
            target(data)
        except Exception as error:
            raise AssertionError(f"{name} breaks with {data!r}") from error
        assert time.monotonic() - begun < LONGEST, data
