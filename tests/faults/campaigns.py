"""``make faults``: every campaign of faults, and the rows of the table in ``docs/reliability.md``.

Kills, power cuts, bit flips and changes of rows are injected ``--rounds`` times each, kills and cuts over both
settings of durability; files are cut short and removed, folders copied and backed up, tokens made to fail a tenth as
often. Exits with 1 if anything was lost in silence or answered wrongly.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from backup_campaign import BackupCampaign
from campaign import Random, Tally, first_lines, seeded
from damage import How
from damage_campaign import DamageCampaign, report
from domain_key_campaign import DomainKeyCampaign
from kill_campaign import KillCampaign
from node_campaign import FailoverCampaign, NodeCampaign
from power_cut_campaign import PowerCutCampaign
from seal_campaign import SealCampaign
from server_campaign import ServerCampaign
from softhsm import LABEL, MODULE, new_token, pin_file
from token_campaign import TokenCampaign
from wrong_copies import WrongCopyCampaign

_DURABILITIES = ("write", "fsync")
_PROTECTIONS = ("pkcs11-root", "pkcs11-full")
_SHORT = 10
_NAMES = ("kills", "cuts", "damage", "copies", "backups", "seals", "domain-keys", "tokens", "nodes", "servers")
_PART = 25
"""So many rounds are one part, with a folder and a seed of its own. Its row goes to standard error when it is done."""
Campaign = Callable[[Path, Random, int], Tally]


def main() -> None:
    """Run the campaigns that are asked for; print a row for each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=_NAMES)
    asked = parser.parse_args()
    lost = 0
    print("| Fault | Injected | Acknowledged | Lost | Recovery: median, worst | Outcomes |\n|---|---|---|---|---|---|")
    for name, rounds, campaign in _campaigns(asked.rounds):
        if asked.only in (None, name):
            tally = _in_parts(campaign, rounds, asked.seed)
            lost += len(tally.lost)
            print(tally.row(), flush=True)
    raise SystemExit(1 if lost else 0)


def _in_parts(campaign: Campaign, rounds: int, seed: int) -> Tally:
    """Run a campaign part by part; return all counts."""
    whole: Tally | None = None
    for number, begun in enumerate(range(0, rounds, _PART)):
        with tempfile.TemporaryDirectory(prefix="strongroom-faults-") as scratch:
            part = campaign(Path(scratch), seeded(seed + number), min(_PART, rounds - begun))
        print(part.row(), first_lines(part.lost), sep="\n", file=sys.stderr, flush=True)
        if whole is None:
            whole = part
        else:
            whole.add(part)
    assert whole is not None
    return whole


def _domain_keys_of_full_depth(scratch: Path, random: Random, rounds: int) -> Tally:
    os.environ.update(new_token(scratch))
    token = {"pkcs11_module": str(MODULE), "pkcs11_token": LABEL, "pkcs11_pin_file": str(pin_file(scratch))}
    return DomainKeyCampaign(scratch, random, key_protection="pkcs11-full", **token).run(rounds)


def _campaigns(rounds: int) -> Iterator[tuple[str, int, Campaign]]:
    """Yield each campaign with its name and the number of its rounds."""
    for durability in _DURABILITIES:
        for workers in (1, 2):
            yield "kills", max(1, rounds // 4), _kills(durability, workers)
        yield "cuts", max(1, rounds // 2), _cuts(durability)
    few = max(1, rounds // _SHORT)
    for how in How:
        for was_killed in (True, False):
            count = max(1, rounds // 2) if how in (How.FLIP, How.VALUE) else few
            yield "damage", count, _damage(how, was_killed=was_killed)
    yield "copies", few, lambda scratch, random, count: WrongCopyCampaign(scratch, random).run(count)
    yield "backups", few, lambda scratch, random, count: BackupCampaign(scratch, random).run(count)
    yield (
        "domain-keys",
        max(1, rounds // 5),
        lambda scratch, random, count: DomainKeyCampaign(scratch, random).run(count),
    )
    yield "domain-keys", max(1, rounds // 5), _domain_keys_of_full_depth
    for poll in (None, 0.02):
        yield "nodes", rounds, _nodes(poll)
    yield "nodes", max(1, rounds // 5), lambda scratch, random, count: FailoverCampaign(scratch, random).run(count)
    for failover in (False, True):
        yield "servers", rounds, _servers(failover=failover)
    yield "seals", max(1, rounds // 5), lambda scratch, random, count: SealCampaign(scratch, random).run(count)
    for protection in _PROTECTIONS:
        yield "tokens", few, _tokens(protection)


def _kills(durability: str, workers: int) -> Campaign:
    return lambda scratch, random, rounds: KillCampaign(scratch, random, durability, workers).run(rounds)


def _cuts(durability: str) -> Campaign:
    return lambda scratch, random, rounds: PowerCutCampaign(scratch, random, durability).run(rounds)


def _nodes(poll: float | None) -> Campaign:
    return lambda scratch, random, rounds: NodeCampaign(scratch, random, poll).run(rounds)


def _servers(*, failover: bool) -> Campaign:
    return lambda scratch, random, rounds: ServerCampaign(scratch, random, failover=failover).run(rounds)


def _damage(how: How, *, was_killed: bool) -> Campaign:
    def run(scratch: Path, random: Random, rounds: int) -> Tally:
        campaign = DamageCampaign(scratch, random, how, was_killed=was_killed)
        tally = campaign.run(rounds)
        print(report(campaign), file=sys.stderr, flush=True)
        return tally

    return run


def _tokens(protection: str) -> Campaign:
    def run(scratch: Path, random: Random, rounds: int) -> Tally:
        campaign = TokenCampaign(scratch, random, protection)
        tally = campaign.run(rounds)
        print(campaign.report(), file=sys.stderr, flush=True)
        return tally

    return run


if __name__ == "__main__":
    main()
