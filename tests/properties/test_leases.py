"""The protocol of leases in a model of nodes, database and time: no call succeeds under what a settled change ended.

The same model with one of the rules broken has to find a call that does: else it could not find any.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign import Random, seeded
from lease_world import CHOSEN, PAUSES, RATES, Choice, Rules, Stale, World, act

NODES = 2
STEPS = 80
CHOICES = st.builds(Choice, st.sampled_from(CHOSEN), st.integers(0, NODES - 1), st.booleans(), st.sampled_from(PAUSES))
CONTROLS = {
    "writers do not wait": Rules(writers_wait=0),
    "writers wait a fifth of the time": Rules(writers_wait=0.2),
    "workers ignore the lease": Rules(workers_check_the_lease=False),
    "leases are renewed by reads": Rules(renewals_are_commits=False),
    "agents publish what any server says": Rules(publishing_follows_a_commit=False),
    "fills are not checked": Rules(fills_are_checked=False),
    "members are read from any server": Rules(settling_asks_what_the_server_knows=False),
}


@given(st.tuples(*[st.sampled_from(RATES)] * NODES), st.lists(CHOICES, max_size=STEPS))
@settings(max_examples=300, deadline=None)
def test_no_node_serves_what_a_settled_change_ended(rates: tuple[float, ...], choices: list[Choice]) -> None:
    world = World(Rules(), rates)
    for choice in choices:
        act(world, choice)


def walk(rules: Rules, random: Random) -> None:
    """Take random steps in a world."""
    world = World(rules, tuple(random.choice(RATES) for _ in range(NODES)))
    for _ in range(STEPS):
        act(world, Choice(random.choice(CHOSEN), random.randrange(NODES), random.random() < 0.5, random.choice(PAUSES)))


def test_nor_does_it_in_long_series_of_random_steps() -> None:
    random = seeded(1)
    for _ in range(2_000):
        walk(Rules(), random)


@pytest.mark.parametrize("broken", CONTROLS.values(), ids=CONTROLS.keys())
def test_a_broken_rule_is_found(broken: Rules) -> None:
    random = seeded(5)
    try:
        for _ in range(50_000):
            walk(broken, random)
    except Stale:
        return
    pytest.fail("no call was stale")
