"""The work that decisions may do, counted in steps.

Policies and requests come from callers, and a condition compares every value of one with every value of the other. So
each decision has a budget. The steps are counted where the work is done, before it is done, and a decision that would
need more is refused. A step takes about a microsecond at most.
"""

from typing import Final

DECISION_STEPS: Final = 50_000
"""The budget of one decision. The largest key policy without conditions takes about a thousand steps."""

SIMULATION_STEPS: Final = 1_000_000
"""The budget of one request that simulates decisions."""


class TooMuchWork(Exception):
    """A decision would take more steps than its budget has left."""


class Work:
    """A budget, and what is left of it. Used by one thread."""

    __slots__ = ("left",)

    def __init__(self, steps: int = DECISION_STEPS) -> None:
        self.left = steps

    def spend(self, steps: int) -> None:
        """Count steps that are about to be done; raises TooMuchWork if the budget does not have them."""
        self.left -= steps
        if self.left < 0:
            raise TooMuchWork
