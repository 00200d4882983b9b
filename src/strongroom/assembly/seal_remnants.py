"""Finishes a change of the seals that was interrupted, and removes what it has left.

Every change of the seals ends with this, and every start of a server, so what is left never outlives the next one.
"""

import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

from strongroom.assembly.data_folder import DataFolder
from strongroom.assembly.unsealing import document_of, read_document
from strongroom.crypto.seal import SealedDomainKey
from strongroom.crypto.seals.document import SealDocument, SealKind
from strongroom.crypto.seals.root_key import generation_of
from strongroom.whole_files import named_errors, sync_path


def finish_change(folder: DataFolder, sealed: Sequence[SealedDomainKey]) -> bool:
    """Put the document of the present root key in place, and remove what an interrupted change has left.

    ``sealed`` are the domain keys. Return whether a rotation ended with this. Raises UnsealError if there is no
    document for them, OSError.
    """
    if not sealed:
        return False
    generation = generation_of(sealed[0])
    following = read_document(folder.next_seal)
    rotated = following is not None and following.generation == generation
    if rotated:
        _replace_document(folder)
    elif following is not None:
        wipe(folder.next_seal)
    remove_unused(folder, document_of(folder, generation))
    return rotated


def remove_unused(folder: DataFolder, document: SealDocument | None) -> None:
    """Remove the key files that no seal of a document needs, and drafts of files; raises OSError."""
    used = {folder.root_key.name} if document is None else _key_files_of(document)
    left = [each for each in folder.key_files() if each.name not in used]
    for path in (*left, *folder.drafts()):
        wipe(path)


def _replace_document(folder: DataFolder) -> None:
    """Put the next document in the place of the present one, which is overwritten: a removed seal could open it."""
    with ExitStack() as opened:
        before = None
        with suppress(FileNotFoundError):
            before = opened.enter_context(folder.seal.open("r+b"))
        folder.next_seal.replace(folder.seal)
        sync_path(folder.path)
        if before is not None:
            _overwrite(before)


def wipe(path: Path) -> None:
    """Overwrite a file and remove it, on disk when this returns; raises OSError.

    A flash drive or a file system with snapshots may keep the old blocks all the same.
    """
    if not path.is_symlink():
        with path.open("r+b") as file:
            _overwrite(file)
    path.unlink()
    sync_path(path.parent)


def _overwrite(file: BinaryIO) -> None:
    """Write zeros over the content of a file that is open, on disk when this returns; raises OSError."""
    # File systems that never write in place need space for it.
    with named_errors(Path(file.name)):
        file.write(bytes(os.fstat(file.fileno()).st_size))
        file.flush()
        os.fsync(file.fileno())


def _key_files_of(document: SealDocument) -> set[str]:
    return {str(each.parameters.get("file")) for each in document.entries if each.kind is SealKind.FILE}
