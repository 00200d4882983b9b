"""What `make bench` measures: calls to a running server."""

from collections.abc import Callable
from typing import NamedTuple

from load import Reply, Request
from servers import Server

# Enough to differ, few enough to sign anew for every run: signatures are good for five minutes.
PREPARED = 500


class Call(NamedTuple):
    """One kind of call: ``prepare`` makes the requests of a run; ``check`` raises unless an answer is right."""

    name: str
    prepare: Callable[[], list[Request]]
    check: Callable[[Request, Reply], None]


class Contender(NamedTuple):
    """A server, and the calls to measure it with. ``records`` counts the calls in its audit log, if it has one."""

    name: str
    server: Server
    calls: list[Call]
    records: Callable[[], int] | None = None
