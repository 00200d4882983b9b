"""A store in which something happens in the middle of a read: another writer commits, and this worker notices."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from typing_extensions import override

from strongroom.snapshot.snapshot import Snapshot
from strongroom.store.sql.reader import SqlReader
from strongroom.store.sqlite.store import SqlStore


class InterruptedStore(SqlStore):
    """Calls ``interruption`` once, in the middle of the next read or, if ``after``, between the read and its use.

    In the middle means after the first thing was read; all that follows comes from the same view of the database.
    ``reads`` counts reads.
    """

    interruption: Callable[[], object] | None = None
    after = True
    reads = 0

    @override
    @contextmanager
    def read(self) -> Iterator[SqlReader]:
        self.reads += 1
        with super().read() as reader:
            yield reader if self.after else cast("SqlReader", _InterruptedReader(reader, self.interrupt))
        self.interrupt()

    def interrupt(self) -> None:
        interruption, self.interruption = self.interruption, None
        if interruption is not None:
            interruption()


class _InterruptedReader:
    """Reads what a reader reads, and is interrupted after each."""

    def __init__(self, reader: SqlReader, interrupt: Callable[[], None]) -> None:
        self._reader = reader
        self._interrupt = interrupt

    def __getattr__(self, name: str) -> Any:
        read = getattr(self._reader, name)

        def reading(*arguments: object) -> object:
            found = read(*arguments)
            self._interrupt()
            return found

        return reading


def commit_and_notice(snapshot: Snapshot, commit: Callable[[], object]) -> Callable[[], None]:
    """Return an interruption: another writer commits, and a call on another thread refreshes the snapshot."""

    def happen() -> None:
        commit()
        snapshot.refresh()

    return happen
