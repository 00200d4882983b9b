"""Moves a deployment from a PostgreSQL database to SQLite in the data folder of one of its nodes.

The new database is made under another name. When all of it is on disk, the old database is marked as left, in the
transaction that has kept everything out of it; then the new one gets its name. So a process that is killed leaves
either the old database as it was, or a complete new one. The next attempt sees which by the mark in the old database.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from msgspec.structs import replace

from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.databases.postgresql import PostgresqlDatabase
from strongroom.assembly.open_folder import OpenFolder, open_existing
from strongroom.assembly.relocation.copying import Copied, Progress, copy_deployment
from strongroom.assembly.relocation.mark import MoveMark, MoveState, read_mark, remove_mark, write_mark
from strongroom.assembly.relocation.parties import BEGUN, COMPLETE, event, keys_of, unused
from strongroom.assembly.relocation.target import LONG
from strongroom.assembly.unsealing import Unsealing, document_of
from strongroom.audit.database_history import HISTORY_ID_LENGTH
from strongroom.clock import Clock
from strongroom.crypto.seals.document import encode_document
from strongroom.crypto.seals.root_key import generation_of
from strongroom.entropy import Entropy
from strongroom.settings import Settings
from strongroom.store.postgresql.engine import Database as Pool
from strongroom.store.postgresql.engine import open_postgresql
from strongroom.store.postgresql.leaving import Leaving, leaving, moved_to
from strongroom.store.postgresql.living_members import LivingMembersError
from strongroom.store.postgresql.opening import UnusableDatabaseError, explained
from strongroom.store.sqlite.filling import filled_file, remove_database
from strongroom.whole_files import replace_file, sync_path


class MoveToSqlite:
    """One move. ``settings`` name the data folder of a node, and ``source`` as its database."""

    def __init__(
        self,
        settings: Settings,
        source: PostgresqlDatabase,
        unsealing: Unsealing,
        clock: Clock,
        entropy: Entropy,
        pause: Callable[[float], object],
    ) -> None:
        self._settings = settings
        self._source = source
        self._unsealing = unsealing
        self._clock = clock
        self._entropy = entropy
        self._pause = pause
        self._folder = DataFolder(settings.folder)
        self._filled = self._folder.path / "moving.db"
        self._old = source.folder.database_name
        self._new = f"`{self._folder.database}`"

    def run(self, progress: Progress) -> Copied | None:
        """Move the deployment; return what was copied, None if that was done before and only its end was missing.

        If this raises or the process is killed, it can be run again. Raises DataFolderError if something uses either
        database, or if the folder has one already, and what ``open_existing`` does.
        """
        with unused(self._folder), closing(open_postgresql(self._source.address, size=3, statement_limit=LONG)) as pool:
            mark = read_mark(self._folder)
            self._require_free(mark)
            copied = None
            with self._explained():
                has_left = self._is_here(mark, moved_to(pool))
            if mark is None or not has_left:
                mark = MoveMark(MoveState.ARRIVING, self._old, self._entropy(HISTORY_ID_LENGTH).hex())
                with (
                    self._explained(),
                    closing(
                        open_existing(
                            self._settings, self._clock, self._entropy, unsealing=self._unsealing, every_region=True
                        )
                    ) as opened,
                ):
                    copied = self._copy(opened, pool, mark, progress)
            self._publish()
            self._complete(mark)
            remove_mark(self._folder)
        return copied

    def _is_here(self, mark: MoveMark | None, place: str | None) -> bool:
        """Tell whether the old database was left for the copy of this mark, and not for one that was made later."""
        if mark is None or mark.state is not MoveState.ARRIVING or place is None:
            return False
        # The folder may have another path by now. Earlier releases did not name the history.
        return place.endswith(_named(mark)) or place == self._place

    @property
    def _place(self) -> str:
        return f"SQLite, to `{self._folder.path}`"

    def _require_free(self, mark: MoveMark | None) -> None:
        """Refuse to replace a database that is in use."""
        if mark is None and self._folder.database.exists():
            raise DataFolderError(f"{self._new} is there already, and is no copy that was left; name another folder")
        if mark is not None and mark.state is not MoveState.LEFT and mark.other != self._old:
            raise DataFolderError(
                f"another move of `{self._folder.path}`, to or from {mark.other}, was interrupted; finish it first"
            )
        if mark is not None and mark.state is MoveState.LEAVING:
            raise DataFolderError(f"the move of `{self._folder.path}` to {mark.other} was interrupted; finish it first")

    def _copy(self, opened: OpenFolder, pool: Pool, mark: MoveMark, progress: Progress) -> Copied:
        begun = event(BEGUN, self._old, self._new, mark.history_id)
        with self._unserved(pool):
            # Before anything is written, which would have to wait for nodes that were killed.
            pass
        with opened.trail.recording(begun):
            # The end of the recording is part of what is copied.
            pass
        is_marked = False
        try:
            with self._unserved(pool) as left:
                with opened.store.read_tables() as tables, filled_file(self._filled) as filling:
                    keys = keys_of(opened, self._clock)
                    copied = copy_deployment(tables, filling, mark.history_id, keys, (self._old, self._new), progress)
                self._write_seal_document(opened)
                is_marked = True
                write_mark(self._folder, mark)
                left.mark(self._place + _named(mark))
        except BaseException as error:
            if not is_marked:
                remove_database(self._filled)
                opened.trail.note_failure(begun, error)
            raise
        return copied

    @contextmanager
    def _unserved(self, pool: Pool) -> Iterator[Leaving]:
        try:
            with leaving(pool, self._pause) as left:
                if left.moved_to is not None:
                    raise DataFolderError(f"{self._old} has moved to {left.moved_to}; run the same command again")
                yield left
        except LivingMembersError as error:
            raise DataFolderError(f"{self._old} is served by node {error}; stop it first") from None

    def _write_seal_document(self, opened: OpenFolder) -> None:
        """Write the file of the seals. The nodes have them in the database, and this folder may have an older file."""
        with opened.store.read() as reader:
            generation = generation_of(reader.domain_keys()[0])
        document = opened.unsealing.document_of(self._folder, generation)
        if document is not None:
            replace_file(self._folder.seal, encode_document(document))

    def _publish(self) -> None:
        """Give the new database its name. What is left of an older one there has no part in it."""
        if self._filled.exists():
            remove_database(self._folder.database)
            self._filled.rename(self._folder.database)
            sync_path(self._folder.path)

    def _complete(self, mark: MoveMark) -> None:
        """Note the new history in the audit log: from then on it refuses the old database, too."""
        here = replace(self._settings, store="", store_password_file=None)
        self._unsealing.document_of = document_of
        # The audit log does not know the new history yet.
        with closing(
            OpenFolder(here, self._clock, self._entropy, unsealing=self._unsealing, also_older=True)
        ) as opened:
            if opened.store.position().history_id != mark.history_id:
                raise DataFolderError(f"{self._new} is not what was moved there; restore the file")
            with opened.trail.recording(event(COMPLETE, self._old, self._new, mark.history_id)):
                pass

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            with explained(self._source.address):
                yield
        except UnusableDatabaseError as error:
            raise DataFolderError(f"{error}. Run the same command again") from None


def _named(mark: MoveMark) -> str:
    """Return what the old database says of a copy beside its place, which another copy can have had before."""
    return f" (history {mark.history_id})"
