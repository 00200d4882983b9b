"""Stores on PostgreSQL that give calls up soon, and what succeeds with them in the end."""

import time
from collections.abc import Callable
from typing import TypeVar

from postgresql import SERVER, Cluster
from server_processes import PATIENCE
from strongroom.entropy import system_entropy
from strongroom.errors import DependencyTimeoutException
from strongroom.problems import Problems
from strongroom.store.postgresql.engine import open_postgresql
from strongroom.store.postgresql.store import PostgresqlStore

T = TypeVar("T")

_WAIT = 0.3
_LIMIT = 1.5


def hastily_opened(cluster: Cluster, database: str, *, size: int = 4, statement_limit: float = 1.0) -> PostgresqlStore:
    """Open a store that gives a write up after a second and a half, and anything else sooner.

    ``size`` is the number of its connections, ``statement_limit`` the deadline of one statement, in seconds.
    """
    pool = open_postgresql(cluster.address(database, SERVER), size=size, wait=_WAIT, statement_limit=statement_limit)
    return PostgresqlStore(pool, system_entropy, time_limit=_LIMIT, problems=Problems())


def eventually(call: Callable[[], T]) -> T:
    """Call something until it succeeds; return its result. On a busy machine, a hasty store gives up what is slow."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return call()
        except DependencyTimeoutException:
            assert time.monotonic() < end
            time.sleep(0.05)
