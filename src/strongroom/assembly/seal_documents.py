"""Where the seal document of a deployment is: in a file of the data folder, or in the database that nodes share."""

from collections.abc import Sequence
from typing import Protocol

from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.seal_remnants import finish_change, remove_unused, wipe
from strongroom.assembly.unsealing import document_of
from strongroom.crypto.seal import SealedDomainKey, UnsealError
from strongroom.crypto.seals.document import SealDocument, decode_document, encode_document
from strongroom.crypto.seals.root_key import generation_of
from strongroom.store.protocol import Readable, Store, Transaction
from strongroom.store.scopes import AccountScope
from strongroom.whole_files import replace_file


class SealDocuments(Protocol):
    """Keeps the seal document. See ``seals`` for how it is changed."""

    def replace(self, before: SealDocument, after: SealDocument) -> None:
        """Replace the document by another one of the same generation."""
        ...

    def prepare(self, following: SealDocument) -> None:
        """Keep the document of the next generation ready, before it is committed."""
        ...

    def commit(self, transaction: Transaction, before: SealDocument, following: SealDocument) -> None:
        """Take part in the transaction that makes the next generation the present one."""
        ...

    def finish(self, sealed: Sequence[SealedDomainKey]) -> bool:
        """Finish what was interrupted, and remove what nothing needs; return whether a rotation ended with this."""
        ...


class FileDocuments:
    """The files ``seal.json`` and ``seal.json.next``."""

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder

    def replace(self, _before: SealDocument, after: SealDocument) -> None:
        """Replace the file. The lock of the folder keeps other commands from doing the same."""
        replace_file(self._folder.seal, encode_document(after))

    def prepare(self, following: SealDocument) -> None:
        """Write the next document beside the present one."""
        replace_file(self._folder.next_seal, encode_document(following))

    def commit(self, transaction: Transaction, before: SealDocument, following: SealDocument) -> None:
        """Do nothing: the file is put in place after the commit."""

    def finish(self, sealed: Sequence[SealedDomainKey]) -> bool:
        """Put the document of the present root key in place, and remove what an interrupted change has left."""
        return finish_change(self._folder, sealed)


class StoredDocuments:
    """The document in a database that nodes share: one row, which changes with the domain keys in one transaction.

    A deployment that came from SQLite may still have a file; it counts as long as there is no row.
    """

    def __init__(self, folder: DataFolder, store: Store) -> None:
        self._folder = folder
        self._store = store

    def replace(self, before: SealDocument, after: SealDocument) -> None:
        """Replace the row; raises DataFolderError if another node has changed it meanwhile."""
        self._store.write(lambda transaction: self.commit(transaction, before, after), AccountScope(""))

    def prepare(self, following: SealDocument) -> None:
        """Do nothing: the document is committed together with the domain keys."""

    def commit(self, transaction: Transaction, before: SealDocument, following: SealDocument) -> None:
        """Replace the row; raises DataFolderError if another node has changed it meanwhile."""
        stored = transaction.seal_documents()
        if stored and (before.generation not in stored or decode_document(stored[before.generation]) != before):
            raise DataFolderError("the seals were changed meanwhile by another node; run this again")
        transaction.put_seal_document(following.generation, encode_document(following))

    def finish(self, sealed: Sequence[SealedDomainKey]) -> bool:
        """Remove key files of this folder that no seal needs any more, and documents in files that do not count."""
        if not sealed:
            return False
        with self._store.read() as reader:
            stored = reader.seal_documents()
        if stored:
            for path in (self._folder.seal, self._folder.next_seal):
                if path.exists():
                    wipe(path)
        remove_unused(self._folder, stored_document(self._store, self._folder, generation_of(sealed[0])))
        return False


def stored_document(store: Readable, folder: DataFolder, generation: int | None) -> SealDocument | None:
    """Return the document of a generation of the root key; None if the root key is in ``root.key``.

    Without a generation, the one that is stored. Raises UnsealError if only another one is there.
    """
    with store.read() as reader:
        stored = reader.seal_documents()
    if not stored:
        return document_of(folder, generation)
    found = generation if generation in stored else max(stored)
    if generation not in {None, found}:
        raise UnsealError(
            f"{folder.seal_name} is of generation {found}, and the domain keys are sealed by generation {generation} "
            "of the root key; restore the database"
        )
    try:
        return decode_document(stored[found])
    except UnsealError as error:
        raise UnsealError(f"{folder.seal_name}, in its table `seal_document`: {error}") from None
