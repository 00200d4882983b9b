"""Moves a deployment from SQLite in the data folder to a PostgreSQL database.

The file ``moved`` is written before the first row is: from then on no server uses ``strongroom.db``. All rows come into
the new database in one transaction. So a process that is killed leaves either an empty database or a complete one. The
next attempt sees which by its newest history.
"""

from contextlib import closing

from strongroom.assembly.command_trail import CommandTrail
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.database_history import require_all_committed
from strongroom.assembly.databases.postgresql import PostgresqlDatabase
from strongroom.assembly.open_folder import OpenFolder, open_existing
from strongroom.assembly.relocation.copying import Copied, Progress, copy_deployment
from strongroom.assembly.relocation.mark import MoveMark, MoveState, read_mark, remove_mark, write_mark
from strongroom.assembly.relocation.parties import BEGUN, COMPLETE, event, keys_of, unused
from strongroom.assembly.relocation.target import filling_of, put_seal_document
from strongroom.assembly.unsealing import Unsealing
from strongroom.audit.database_history import HISTORY_ID_LENGTH
from strongroom.clock import Clock
from strongroom.entropy import Entropy
from strongroom.problems import Problems
from strongroom.settings import Settings


class MoveToPostgresql:
    """One move. ``settings`` name the data folder, and SQLite as its database; ``target`` is for the same folder."""

    def __init__(
        self, settings: Settings, target: PostgresqlDatabase, unsealing: Unsealing, clock: Clock, entropy: Entropy
    ) -> None:
        self._settings = settings
        self._target = target
        self._unsealing = unsealing
        self._clock = clock
        self._entropy = entropy
        self._folder = DataFolder(settings.folder)
        self._new = target.folder.database_name

    def run(self, progress: Progress) -> Copied | None:
        """Move the deployment; return what was copied, None if that was done before and only its end was missing.

        If this raises or the process is killed, it can be run again. Raises DataFolderError if something uses either
        database, if the new one has something in it already or cannot be reached, and what ``open_existing`` does.
        """
        self._folder.require_production()
        self._require_possible(read_mark(self._folder))
        self._target.require_usable()
        with (
            closing(self._open_old()) as opened,
            unused(self._folder),
        ):
            mark = read_mark(self._folder)
            self._require_possible(mark)
            if mark is not None and self._has(mark.history_id):
                copied = None
            else:
                require_all_committed(opened.database, opened.store)
                mark = MoveMark(MoveState.LEAVING, self._new, self._entropy(HISTORY_ID_LENGTH).hex())
                copied = self._copy(opened, mark, progress)
            self._complete(opened, mark)
        return copied

    def _require_possible(self, mark: MoveMark | None) -> None:
        if mark is None or (mark.state is MoveState.LEAVING and mark.other == self._new):
            return
        raise DataFolderError(
            f"`{self._folder.database}` was moved to {mark.other}"
            if mark.state is MoveState.LEFT
            else f"another move of `{self._folder.path}`, to or from {mark.other}, was interrupted; finish it first"
        )

    def _open_old(self) -> OpenFolder:
        """Open the old database, also after an interrupted move."""
        if read_mark(self._folder) is None:
            return open_existing(self._settings, self._clock, self._entropy, unsealing=self._unsealing)
        return OpenFolder(self._settings, self._clock, self._entropy, unsealing=self._unsealing, also_older=True)

    def _has(self, history_id: str) -> bool:
        """Tell whether an earlier attempt has committed the copy."""
        with filling_of(self._target, self._entropy) as filling:
            return filling.history_id() == history_id

    def _copy(self, opened: OpenFolder, mark: MoveMark, progress: Progress) -> Copied:
        old = f"`{self._folder.database}`"
        begun = event(BEGUN, old, self._new, mark.history_id)
        with opened.trail.recording(begun):
            # The end of the recording is part of what is copied.
            pass
        earlier = read_mark(self._folder)
        write_mark(self._folder, mark)
        is_whole = False
        try:
            with opened.store.read_tables() as tables, filling_of(self._target, self._entropy) as filling:
                keys = keys_of(opened, self._clock)
                copied = copy_deployment(tables, filling, mark.history_id, keys, (old, self._new), progress)
                put_seal_document(filling, self._folder)
                is_whole = True
        except BaseException as error:
            # What is not whole cannot have been committed. But an earlier attempt may have been, and the new database
            # served since.
            if not is_whole and earlier is None:
                remove_mark(self._folder)
            elif not is_whole and earlier is not None:
                write_mark(self._folder, earlier)
            opened.trail.note_failure(begun, error)
            raise
        return copied

    def _complete(self, opened: OpenFolder, mark: MoveMark) -> None:
        """Note the new history in the audit log: from then on it refuses the old database, too."""
        with closing(self._target.open()) as store:
            store.authenticate(opened.unsealed_keys.row_keys, Problems())
            trail = CommandTrail(
                self._target, store, opened.backends.secrets, self._settings, self._clock, self._entropy
            )
            with trail.recording(event(COMPLETE, f"`{self._folder.database}`", self._new, mark.history_id)):
                write_mark(self._folder, MoveMark(MoveState.LEFT, mark.other, mark.history_id))
