"""``make faults``: every campaign of faults, and the rows of the table in ``docs/reliability.md``.

Kills, power cuts, bit flips and changes of rows are injected ``--rounds`` times each, kills and cuts over both
settings of durability; files are cut short, removed and copied a tenth as often. Exits with 1 if anything was lost in
silence or answered wrongly.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from campaign import Tally, first_lines, seeded
from damage import How
from damage_campaign import DamageCampaign, report
from kill_campaign import KillCampaign
from power_cut_campaign import PowerCutCampaign
from wrong_copies import WrongCopyCampaign

_DURABILITIES = ("write", "fsync")
_SHORT = 10
Campaign = Callable[[Path, int], Tally]


def main() -> None:
    """Run the campaigns that are asked for; print a row for each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=("kills", "cuts", "damage", "copies"))
    asked = parser.parse_args()
    lost = 0
    print("| Fault | Injected | Acknowledged | Lost | Recovery: median, worst | Outcomes |\n|---|---|---|---|---|---|")
    for name, rounds, campaign in _campaigns(asked.rounds, asked.seed):
        if asked.only in (None, name):
            with tempfile.TemporaryDirectory(prefix="strongroom-faults-") as scratch:
                tally = campaign(Path(scratch), rounds)
            lost += len(tally.lost)
            print(tally.row(), flush=True)
            if tally.lost:
                print(first_lines(tally.lost), file=sys.stderr, flush=True)
    raise SystemExit(1 if lost else 0)


def _campaigns(rounds: int, seed: int) -> Iterator[tuple[str, int, Campaign]]:
    """Yield each campaign with its name and the number of its rounds."""
    for durability in _DURABILITIES:
        for workers in (1, 2):
            yield "kills", max(1, rounds // 4), _kills(seed, durability, workers)
        yield "cuts", max(1, rounds // 2), _cuts(seed, durability)
    few = max(1, rounds // _SHORT)
    for how in How:
        for was_killed in (True, False):
            count = max(1, rounds // 2) if how in (How.FLIP, How.VALUE) else few
            yield "damage", count, _damage(seed, how, was_killed=was_killed)
    yield "copies", few, lambda scratch, count: WrongCopyCampaign(scratch, seeded(seed)).run(count)


def _kills(seed: int, durability: str, workers: int) -> Campaign:
    return lambda scratch, rounds: KillCampaign(scratch, seeded(seed), durability, workers).run(rounds)


def _cuts(seed: int, durability: str) -> Campaign:
    return lambda scratch, rounds: PowerCutCampaign(scratch, seeded(seed), durability).run(rounds)


def _damage(seed: int, how: How, *, was_killed: bool) -> Campaign:
    def run(scratch: Path, rounds: int) -> Tally:
        campaign = DamageCampaign(scratch, seeded(seed), how, was_killed=was_killed)
        tally = campaign.run(rounds)
        print(report(campaign), file=sys.stderr, flush=True)
        return tally

    return run


if __name__ == "__main__":
    main()
