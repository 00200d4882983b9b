"""Clients that change a deployment of several nodes in a storm: switches are turned, and a ledger is kept.

They go from node to node, and go on when one does not answer.
"""

import itertools
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from typing_extensions import override

from campaign import Random, seeded
from fast_client import CallRefused, FastClient, NoAnswer
from ledger import Kind, Ledger
from ledger_load import LedgerLoad
from local_server import RunningServer
from switch_history import SwitchHistory
from switches import Switch

_PATIENCE = 90.0
"""Seconds that an answer may take: so long, a node that is stopped for a while answers late, and not never."""
_AFTER_FAILURE = 0.1
_TURNING = 6
"""How many clients turn switches."""
_LOADS = 2
"""How many take keys through their lives."""
EXPECTED = frozenset({"DependencyTimeoutException", "ServiceUnavailable", "ServiceFailure", "ThrottlingException"})
"""What a call may be refused with while nodes and their database are disturbed."""


class RovingClient:
    """A ``KmsClient`` that calls a node at random."""

    def __init__(self, servers: Iterable[RunningServer], random: Random) -> None:
        self._clients = [FastClient(server, patience=_PATIENCE) for server in servers]
        self._random = random
        self.request_id = ""

    def __call__(self, operation: str, **request: Any) -> dict[str, Any]:
        client = self._random.choice(self._clients)
        answer = client(operation, **request)
        self.request_id = client.request_id
        return answer

    def query(self, service: str, action: str, **fields: str) -> str:
        return self._random.choice(self._clients).query(service, action, **fields)

    def close(self) -> None:
        for client in self._clients:
            client.close()


class Turning:
    """One client that turns switches of its own, one after the other."""

    def __init__(self, client: RovingClient, switches: Sequence[Switch], random: Random, longest_pause: float) -> None:
        self._client = client
        self._switches = switches
        self._random = random
        self._longest_pause = longest_pause
        self.histories = [SwitchHistory() for _ in switches]
        self.refusals = Counter[str]()
        """How often a change was refused, or not answered, by the reason."""
        self.unexpected: list[str] = []

    def run(self, ended: threading.Event) -> None:
        """Turn switches until ``ended`` is set; then leave all of them on."""
        is_on = [False] * len(self._switches)
        for number, _ in enumerate(self._switches):
            self.turn(number, on=True)
            is_on[number] = True
        while not ended.wait(self._random.uniform(0, self._longest_pause)):
            number = self._random.randrange(len(self._switches))
            is_on[number] = not is_on[number]
            self.turn(number, on=is_on[number])
        for number, on in enumerate(is_on):
            if not on:
                self.turn(number, on=True)
        self._client.close()

    def turn(self, number: int, *, on: bool) -> None:
        """Turn a switch, again and again until that is acknowledged."""
        while True:
            try:
                with self.histories[number].attempt(on=on):
                    return self._switches[number].turn(self._client, on)
            except NoAnswer:
                self.refusals["no answer"] += 1
            except CallRefused as error:
                self.refusals[error.code] += 1
                if error.code not in EXPECTED:
                    self.unexpected.append(f"{self._switches[number].name}: {error}")
            threading.Event().wait(_AFTER_FAILURE)


class RovingLoad(LedgerLoad):
    """Takes keys through their lives, on all nodes."""

    @override
    def run(self, ended: threading.Event) -> None:
        while not ended.is_set():
            try:
                self.live(next(self._numbers))
            except CallRefused as error:
                self.refusals.append(error)
            except NoAnswer:
                pass
        self.close()


class Changes:
    """All of these clients, each on a thread."""

    def __init__(self, servers: Sequence[RunningServer], switches: Sequence[Switch], seed: int, pause: float) -> None:
        self.ledger = Ledger()
        self._ended = threading.Event()
        self.turning = [
            Turning(RovingClient(servers, seeded(seed + part)), switches[part::_TURNING], seeded(seed + part), pause)
            for part in range(_TURNING)
        ]
        clients = [RovingClient(servers, seeded(seed - part)) for part in range(1, _LOADS + 1)]
        numbers = itertools.count(1)
        self.loads = [RovingLoad(client, self.ledger, numbers) for client in clients]
        runs = [*(each.run for each in self.turning), *(each.run for each in self.loads)]
        self._threads = [threading.Thread(target=run, args=(self._ended,)) for run in runs]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Have all end, with every switch on."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def histories(self, switches: Sequence[Switch]) -> list[SwitchHistory]:
        """Return the history of each switch."""
        found: dict[int, SwitchHistory] = {}
        for part, turning in enumerate(self.turning):
            for place, history in enumerate(turning.histories):
                found[part + place * _TURNING] = history
        return [found[number] for number in range(len(switches))]

    @property
    def acknowledged(self) -> int:
        """How many changes were acknowledged: turns of switches, and changes that the ledger knows."""
        turns = sum(len(history.turns) for turning in self.turning for history in turning.histories)
        return turns + sum(
            attempt.acknowledged is not None for attempts in [*self.ledger.subjects.values()] for attempt in [*attempts]
        )

    @property
    def unexpected(self) -> list[str]:
        """Refusals that no client should see."""
        of_lives = [str(error) for load in self.loads for error in load.refusals if error.code not in EXPECTED]
        return of_lives + [line for turning in self.turning for line in turning.unexpected]


def duplicates(client: FastClient, ledger: Ledger) -> list[str]:
    """Return what was made twice, or by nobody: keys by their descriptions, and grants, of which each key has one."""
    found: list[str] = []
    descriptions = Counter[str]()
    marker: dict[str, Any] = {}
    while True:
        page = client("ListKeys", Limit=1000, **marker)
        for each in page["Keys"]:
            made = client("DescribeKey", KeyId=each["KeyId"])["KeyMetadata"]
            if made["Description"].startswith("life "):
                descriptions[made["Description"]] += 1
                grants = client("ListGrants", KeyId=each["KeyId"])["Grants"]
                if len(grants) > 1:
                    found.append(f"{each['KeyId']} has {len(grants)} grants, and one was made")
        if not page["Truncated"]:
            break
        marker = {"Marker": page["NextMarker"]}
    found += [f"{count} keys were made for {name}" for name, count in descriptions.items() if count > 1]
    known = len(ledger.known(Kind.STATE))
    if descriptions.total() < known:
        found.append(f"there are {descriptions.total()} keys, and {known} were acknowledged")
    return found
