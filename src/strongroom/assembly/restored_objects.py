"""Objects of a token that a restored deployment shares with the one whose backup it was.

A rotation in the restored deployment must not destroy them: the other one may go on, and an object cannot be made
again. So a restore notes their ids in the database, where all nodes find them, and they are left in the token.

The file ``restored-objects`` of a data folder can name more of them, one id in a line. If it is there and empty, an
operator has said that this node shares none.
"""

import logging
from collections.abc import Iterable

from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.protections import object_id_of
from strongroom.assembly.unsealing import read_document
from strongroom.crypto.domain_keys import OpenDomainKey
from strongroom.crypto.seals.document import SealKind
from strongroom.store.protocol import Readable, Store, Transaction
from strongroom.store.subjects.destructions import NEVER, ErasedDomainKey, ErasedObject
from strongroom.whole_files import read_regular

logger = logging.getLogger(__name__)


def note_shared_objects(folder: DataFolder, store: Store, in_token: Iterable[OpenDomainKey]) -> None:
    """Note what a restored deployment has in a token: for its domain keys, ``in_token``, and for the seals of a folder.

    Raises UnsealError, OSError.
    """
    document = read_document(folder.seal)
    entries = () if document is None else document.entries
    shared = [
        ErasedDomainKey(f"seal/{each.name}", 1, str(each.parameters["object"]), shared=True)
        for each in entries
        if each.kind is SealKind.PKCS11
    ]
    shared += [ErasedDomainKey(each.scope, each.version, object_id_of(each).hex(), shared=True) for each in in_token]

    def act(transaction: Transaction) -> None:
        for each in shared:
            transaction.add_destruction(each, NEVER)

    if shared:
        store.write(act)


def leave_uncommitted(transaction: Transaction) -> list[ErasedObject]:
    """Forget what was announced, but not committed, in a database that was rolled back, or restored from a backup.

    It may have been given to a key since, so it must not be destroyed. Objects of domain keys are noted as shared.
    Returns what is left in its token or cluster, for ``tell_of_left``.
    """
    left = transaction.destructions(float("inf"), transaction.destruction_backlog().count)
    found = [each.erased for each in left if each.erased.uncommitted]
    for each in found:
        _leave(transaction, each)
    return found


def tell_of_left(found: Iterable[ErasedObject]) -> None:
    """Log what is left in its token or cluster."""
    for each in found:
        logger.warning(
            "object %s was being made when this state of the database was saved, and is left where it is: %s",
            each.object_id,
            "see `strongroom hsm status`" if isinstance(each, ErasedDomainKey) else f"key {each.owner.key_id}",
        )


def _leave(transaction: Transaction, erased: ErasedObject) -> None:
    transaction.remove_destruction(erased)
    if isinstance(erased, ErasedDomainKey):
        transaction.add_destruction(ErasedDomainKey(erased.scope, erased.version, erased.object_id, shared=True), NEVER)


def shared_objects(folder: DataFolder, store: Readable) -> frozenset[bytes]:
    """Return the ids of objects that another deployment may need; raises DataFolderError if that cannot be told."""
    path = folder.restored_objects
    named: list[str] = []
    try:
        named += read_regular(path).decode().split()
        if not named:
            return frozenset()
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise _unreadable(folder, error) from None
    with store.read() as reader:
        noted = [each.erased for each in reader.object_destructions()]
    named += [each.object_id for each in noted if isinstance(each, ErasedDomainKey) and each.shared]
    try:
        return frozenset(map(bytes.fromhex, named))
    except ValueError as error:
        raise _unreadable(folder, error) from None


def why_shared(folder: DataFolder) -> str:
    """Return why a shared object is not destroyed, and what to do, in a clause of a message."""
    return (
        "the deployment whose backup was restored here may need it; if that deployment is gone, make "
        f"`{folder.restored_objects}` an empty file"
    )


def _unreadable(folder: DataFolder, error: OSError | ValueError) -> DataFolderError:
    reason = error.strerror if isinstance(error, OSError) else "it is damaged"
    return DataFolderError(
        f"`{folder.restored_objects}` cannot be read ({reason}); it names the objects of the token that the deployment "
        "needs whose backup was restored here. If that deployment is gone, make it an empty file"
    )
