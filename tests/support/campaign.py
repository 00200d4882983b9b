"""What a campaign of faults counts, and the line of a table that it becomes."""

from collections import Counter
from collections.abc import Sequence
from random import Random  # noqa: TID251 - the choices of a test

import msgspec

__all__ = ["Random", "Tally", "first_lines", "seeded"]


class Tally(msgspec.Struct):
    """The result of injecting one kind of fault many times. ``recovery`` is in seconds, one for each restart."""

    fault: str
    injected: int = 0
    acknowledged: int = 0
    lost: list[str] = msgspec.field(default_factory=list)
    """What was acknowledged and is not there, or not so; one line each."""
    outcomes: Counter[str] = msgspec.field(default_factory=Counter)
    recovery: list[float] = msgspec.field(default_factory=list)

    def row(self) -> str:
        """Return the counts as a row of the table in ``docs/reliability.md``."""
        worst = f"{max(self.recovery):.1f} s" if self.recovery else "-"
        median = f"{sorted(self.recovery)[len(self.recovery) // 2]:.1f} s" if self.recovery else "-"
        told = "; ".join(f"{count} {outcome}" for outcome, count in self.outcomes.most_common())
        cells = (
            self.fault,
            f"{self.injected:,}",
            f"{self.acknowledged:,}",
            str(len(self.lost)),
            f"{median}, {worst}",
            told,
        )
        return f"| {' | '.join(cells)} |"


def seeded(seed: int) -> Random:
    """Return a generator of the choices of a campaign: the same seed injects the same faults."""
    return Random(seed)  # noqa: S311 - choices of a test


def first_lines(texts: Sequence[str], most: int = 5) -> str:
    """Return some lines of a list for a message."""
    more = len(texts) - most
    return "\n".join([*texts[:most], *([f"and {more} more"] if more > 0 else [])])
