"""A development server for tests."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from strongroom.testing.accounts import Account
from strongroom.testing.clock import Clock
from strongroom.testing.control import Control
from strongroom.testing.faults import Faults
from strongroom.testing.process import Process

_START = 60.0


class Server:
    """A running server of ``strongroom dev``, in a process of its own, with data that is removed when it stops.

    ``account`` is its first account, ``clock`` its clock, and ``faults`` injects faults into the calls of all accounts.
    ``data`` is its data folder, which has the audit log in the folder ``audit``.
    """

    def __init__(self, process: Process) -> None:
        facts = process.facts
        self._process = process
        self._control = Control(facts["url"])
        self.url: str = facts["url"]
        self.regions: tuple[str, ...] = tuple(facts["regions"])
        self.data = Path(facts["data"])
        self.account = Account(
            account=facts["account"],
            access_key_id=facts["access_key_id"],
            secret_access_key=facts["secret_access_key"],
            url=self.url,
            region=self.regions[0],
        )
        self.clock = Clock(self._control)
        self.faults = Faults(self._control)

    def create_account(self, account: str | None = None) -> Account:
        """Make an account, by default of a random number; raises ControlError if there is one of that number.

        That takes some milliseconds, so each test can have one of its own.
        """
        made = self._control.post("/accounts", {"account": account})
        return Account(
            account=made["account"],
            access_key_id=made["access_key_id"],
            secret_access_key=made["secret_access_key"],
            url=self.url,
            region=self.regions[0],
        )

    def faults_of(self, account: Account) -> Faults:
        """Return what injects faults into the calls of one account alone."""
        return Faults(self._control, account.account)

    def reset(self) -> None:
        """Remove all that the accounts have, end all faults, and set the clock back to the machine's.

        The first account keeps its root access key; no other one can be used after this.
        """
        self._control.post("/reset")

    def log(self) -> str:
        """Return what the server has logged."""
        return self._process.log()

    def close(self) -> None:
        """Stop the server, and wait until its data is removed."""
        self._process.stop()


def start(
    *,
    regions: Sequence[str] = ("us-east-1",),
    account: str | None = None,
    seed: str | os.PathLike[str] | None = None,
    options: Sequence[str] = (),
    timeout: float = _START,
) -> Server:
    """Start a server; raises StartError. Call ``close`` at the end. The parameters are those of ``server``."""
    given = [f"--region={region}" for region in regions]
    if account is not None:
        given.append(f"--account={account}")
    if seed is not None:
        given.append(f"--seed={os.fspath(seed)}")
    return Server(Process(["--port=0", *given, *map(os.fspath, options)], timeout))


@contextmanager
def server(
    *,
    regions: Sequence[str] = ("us-east-1",),
    account: str | None = None,
    seed: str | os.PathLike[str] | None = None,
    options: Sequence[str] = (),
    timeout: float = _START,
    environment: bool = False,
) -> Iterator[Server]:
    """Run a server for the time of a ``with`` block, or of a function that this decorates.

    ``regions`` are those that it serves, and ``account`` is the number of its first account, which has the keys of
    ``seed``, a seed file of local-kms. ``options`` are further ones of ``strongroom dev``. With ``environment``, the
    AWS clients of this process act as the first account's root user meanwhile. Raises StartError, also if it does not
    serve within ``timeout`` seconds.
    """
    with ExitStack() as stack:
        found = stack.enter_context(
            closing(start(regions=regions, account=account, seed=seed, options=options, timeout=timeout))
        )
        if environment:
            stack.enter_context(found.account.use())
        yield found
