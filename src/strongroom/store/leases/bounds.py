"""How long leases run, and how long others wait for them. All times are seconds."""

SHORTEST_LEASE = 0.1
LONGEST_LEASE = 60.0
RENEWALS = 4
"""How often a lease is renewed while it runs."""

LONGEST_POLL = 0.5
"""After this time an agent looks for changes that it was not told of: a notification may get lost."""
READ_PATIENCE = 2 * LONGEST_POLL
"""How long a read that has seen a change waits for the agent of its node to find that change as well."""

_CLOCK_DRIFT = 0.01
"""The clocks of two machines run at rates that differ by less than this part."""
_ALLOWANCE = 0.01
"""For the rounding of clocks."""


def checked_lease(lease: float) -> float:
    """Return a lease; raises ValueError if it is shorter or longer than leases may be."""
    if not SHORTEST_LEASE <= lease <= LONGEST_LEASE:
        raise ValueError(lease)
    return lease


def lease_of_row(lease: float) -> float:
    """Return how long a lease may be that a row has: a row that was changed must not have others wait longer.

    No node has a longer one. NaN compares as neither.
    """
    return lease if 0 < lease <= LONGEST_LEASE else LONGEST_LEASE


def over_everywhere(lease: float) -> float:
    """Return how long a machine has to wait, by its own clock, until a lease has ended by the clock of another one."""
    return lease * (1 + _CLOCK_DRIFT) + _ALLOWANCE
