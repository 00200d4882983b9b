"""The store of a process that keeps nothing of what it reads, such as a command. Its writes are as strict as others."""

from collections.abc import Callable
from typing import TypeVar

from typing_extensions import override

from strongroom.entropy import Entropy
from strongroom.problems import Problems
from strongroom.store.postgresql.engine import Database
from strongroom.store.postgresql.settler import Settler
from strongroom.store.postgresql.store import PostgresqlStore
from strongroom.store.postgresql.transaction import PostgresqlTransaction
from strongroom.store.scopes import Scope

T = TypeVar("T")


class SettledStore(PostgresqlStore):
    """A store that asks the database for every read. A write returns when no node serves what was before it."""

    def __init__(
        self,
        database: Database,
        entropy: Entropy,
        settler: Settler,
        *,
        time_limit: float,
        problems: Problems | None = None,
    ) -> None:
        super().__init__(database, entropy, time_limit=time_limit, problems=problems)
        self._settler = settler
        self._settled = 0

    @override
    def write(self, act: Callable[[PostgresqlTransaction], T], *scopes: Scope) -> T:
        """Run a write as every store does; return when no node serves what was before it."""
        result = super().write(act, *scopes)
        # Of this write, or of one of another thread that has committed since.
        newest = self._newest.change
        if newest > self._settled:
            self._settler.settle(newest)
            self._settled = max(self._settled, newest)
        return result
