"""What both directions of a move need: that nothing uses the data folder, the keys that check the copy, the records."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.key_back_ends import loading_key_backends
from strongroom.assembly.open_folder import OpenFolder
from strongroom.assembly.relocation.copying import Keys
from strongroom.assembly.xks_lock import lock_xks_serving
from strongroom.audit.operator_events import AUDIT_SOURCE, OperatorEvent
from strongroom.clock import Clock


@contextmanager
def unused(folder: DataFolder) -> Iterator[None]:
    """Keep servers, XKS proxies and changes by commands out of a data folder.

    Raises DataFolderError if a server or a proxy uses it, or a command changes something. A command that has only
    opened it is not noticed: ``CommandTrail.changing`` refuses what it would change afterwards.
    """
    lock = folder.lock()
    try:
        xks = lock_xks_serving(folder)
        try:
            with folder.changing(wait=False) as alone:
                if not alone:
                    raise DataFolderError(f"another command changes something in `{folder.path}`; wait for its end")
                yield
        finally:
            os.close(xks)
    finally:
        os.close(lock)


def keys_of(opened: OpenFolder, clock: Clock) -> Keys:
    """Return what authenticates the records of a deployment and opens its key material."""
    domain_keys = opened.unsealed_keys
    return Keys(domain_keys.row_keys, loading_key_backends(domain_keys, opened.entropy, clock, opened.token))


def event(name: str, old: str, new: str, history_id: str) -> OperatorEvent:
    """Return the event of a move, which is recorded when it begins and when it is complete."""
    details = {"from": old.replace("`", ""), "to": new.replace("`", ""), "historyId": history_id}
    return OperatorEvent(name=name, command="migrate", source=AUDIT_SOURCE, details=details)


BEGUN = "BeginDatabaseMove"
COMPLETE = "CompleteDatabaseMove"
