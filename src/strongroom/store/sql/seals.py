"""Seal documents, in SQL."""

from sqlalchemy import Connection, delete, insert, select

from strongroom.store.sql.schema import seal_document

_ALL = select(seal_document)
_REMOVE_ALL = delete(seal_document)
_ADD = insert(seal_document)


class SealReads:
    """Reads of seal documents. See ``subjects.seals``."""

    _connection: Connection

    def seal_documents(self) -> dict[int, bytes]:
        """Return every seal document, encoded, by the generation of its root key."""
        return {row.generation: bytes(row.document) for row in self._connection.execute(_ALL)}


class SealWrites(SealReads):
    """Writes of seal documents. See ``subjects.seals``."""

    def put_seal_document(self, generation: int, document: bytes) -> None:
        """Store the encoded document of a generation in the place of all that are there."""
        self._connection.execute(_REMOVE_ALL)
        self._connection.execute(_ADD, {"generation": generation, "document": document})
