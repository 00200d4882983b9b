"""Makes a deployment once, before any server of it runs: its first keys, its account, and the key of its audit log."""

import os

from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.databases.chosen import database_of
from strongroom.assembly.databases.database import Database
from strongroom.assembly.deployment import ready_folder
from strongroom.assembly.domain_keys import KeysExistError
from strongroom.assembly.seal_remnants import wipe
from strongroom.assembly.unsealing import Unsealing
from strongroom.clock import Clock
from strongroom.entropy import Entropy
from strongroom.settings import Settings


def initialize(
    settings: Settings, clock: Clock, entropy: Entropy, unsealing: Unsealing, administrator: str | None = None
) -> DataFolder:
    """Make what the first start of a server would make; return the data folder.

    With an ``administrator``, also a user of that name who may do everything, and the root access key is put aside.

    A database that nodes share has tables already. Of several processes that do this at once, one succeeds. One that
    was interrupted is finished by the next on the same node. Raises DataFolderError if there is a deployment already,
    and what ``ready_folder`` does.
    """
    database = database_of(settings, clock, entropy)
    folder = database.folder
    lock = folder.lock()
    try:
        _require_no_other(database)
        is_given = _has_root_key(folder)
        try:
            ready_folder(settings, clock, entropy, unsealing, first=True, administrator=administrator)
        except KeysExistError:
            if not is_given and folder.root_key.exists():
                # It was made here a moment ago, and has sealed nothing that is stored.
                wipe(folder.root_key)
            raise
        # From now on, a missing audit log is one that was lost.
        folder.audit.mkdir(mode=0o700, exist_ok=True)
    finally:
        os.close(lock)
    return folder


def _require_no_other(database: Database) -> None:
    """Refuse a shared database that another node has initialized."""
    folder = database.folder
    if database.is_shared and not (_has_root_key(folder) or folder.seal.exists()):
        database.require_usable()
        if database.is_there():
            raise DataFolderError(
                f"{folder.database_name} has its keys already: it was initialized before; to serve it here too, copy "
                f"`root.key` from such a node to `{folder.path}`, unless another seal opens the root key"
            )


def _has_root_key(folder: DataFolder) -> bool:
    return folder.root_key.exists() or folder.root_key.is_symlink()
