"""Objects of a token that a restored folder shares with the deployment whose backup it was.

A rotation in the restored folder must not destroy them: the other deployment may go on, and an object cannot be made
again. So a restore writes down their ids, one in a line, and the restored folder leaves them in the token.
"""

import logging
from collections.abc import Iterable
from functools import partial

from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.unsealing import read_document
from strongroom.crypto.seals.document import SealKind
from strongroom.store.protocol import Store, Transaction
from strongroom.store.subjects.destructions import ErasedDomainKey, ErasedObject
from strongroom.whole_files import read_regular, replace_file

logger = logging.getLogger(__name__)


def note_restored_objects(folder: DataFolder, of_domain_keys: Iterable[bytes]) -> None:
    """Write down what a restored folder has in a token, its seals too, if it has anything; raises UnsealError, OSError.

    ``of_domain_keys`` are the ids of what its domain keys have there.
    """
    document = read_document(folder.seal)
    entries = () if document is None else document.entries
    of_seals = [str(each.parameters["object"]) for each in entries if each.kind is SealKind.PKCS11]
    found = [*of_seals, *(each.hex() for each in of_domain_keys)]
    if found:
        replace_file(folder.restored_objects, "".join(f"{each}\n" for each in found).encode())


def leave_uncommitted(store: Store, most: int) -> None:
    """Forget what the other deployment had announced, but not committed, when the backup was made: up to ``most``.

    It may have been given to a key there since, so the restored folder must not destroy it.
    """
    with store.read() as reader:
        found = [each.erased for each in reader.destructions(float("inf"), most) if each.erased.uncommitted]
    for each in found:
        logger.warning(
            "object %s was being made when the backup was made, and is left where it is: %s",
            each.object_id,
            "see `strongroom hsm status`" if isinstance(each, ErasedDomainKey) else f"key {each.owner.key_id}",
        )
        store.write(partial(_remove, each))


def _remove(erased: ErasedObject, transaction: Transaction) -> None:
    transaction.remove_destruction(erased)


def restored_objects(folder: DataFolder) -> frozenset[bytes]:
    """Return the ids of objects that another deployment may need; raises DataFolderError if that cannot be told."""
    path = folder.restored_objects
    try:
        return frozenset(bytes.fromhex(line) for line in read_regular(path).decode().splitlines())
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is damaged"
        raise DataFolderError(
            f"`{path}` cannot be read ({reason}); it names the objects of the token that the deployment needs whose "
            "backup was restored here. If that deployment is gone, remove the file"
        ) from None
