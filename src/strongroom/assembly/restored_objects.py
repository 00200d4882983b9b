"""Objects of a token that a restored folder shares with the deployment whose backup it was.

A rotation in the restored folder must not destroy them: the other deployment may go on, and an object cannot be made
again. So a restore writes down their ids, one in a line, and the restored folder leaves them in the token.
"""

from collections.abc import Iterable

from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.unsealing import read_document
from strongroom.crypto.seals.document import SealKind
from strongroom.whole_files import read_regular, replace_file


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
