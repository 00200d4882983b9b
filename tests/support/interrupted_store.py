"""A store in which something happens in the middle of a read: another writer commits, and this worker notices."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from typing_extensions import override

from strongroom.snapshot.snapshot import Snapshot
from strongroom.store.sql.reader import SqlReader
from strongroom.store.sqlite.store import SqlStore


class InterruptedStore(SqlStore):
    """Calls ``interruption`` once, after the next read and before its result is used; counts reads."""

    interruption: Callable[[], object] | None = None
    reads = 0

    @override
    @contextmanager
    def read(self) -> Iterator[SqlReader]:
        self.reads += 1
        with super().read() as reader:
            yield reader
        interruption, self.interruption = self.interruption, None
        if interruption is not None:
            interruption()


def commit_and_notice(snapshot: Snapshot, commit: Callable[[], object]) -> Callable[[], None]:
    """Return an interruption: another writer commits, and a call on another thread refreshes the snapshot."""

    def happen() -> None:
        commit()
        snapshot.refresh()

    return happen
