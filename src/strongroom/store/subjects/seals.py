"""Seal documents: the root key of each generation, wrapped by its seals. Only a database that nodes share has them."""

from typing import Protocol


class SealReader(Protocol):
    """Reads of seal documents."""

    def seal_documents(self) -> dict[int, bytes]:
        """Return every seal document, encoded, by the generation of its root key."""
        ...


class SealWriter(Protocol):
    """Writes of seal documents."""

    def put_seal_document(self, generation: int, document: bytes) -> None:
        """Store the encoded document of a generation in the place of all that are there."""
        ...
