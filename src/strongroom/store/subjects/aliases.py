"""Aliases."""

from typing import Protocol

from strongroom.keys.arns import AliasLocator
from strongroom.store.records import AliasRecord


class AliasReader(Protocol):
    """Reads of aliases."""

    def alias(self, locator: AliasLocator) -> AliasRecord | None:
        """Return an alias."""
        ...

    def aliases(self, account: str, region: str, key_id: str | None, after: str, limit: int) -> list[AliasRecord]:
        """List aliases by name; of one key when ``key_id`` is given."""
        ...


class AliasWriter(Protocol):
    """Writes of aliases."""

    def add_alias(self, record: AliasRecord, limit: int) -> bool:
        """Insert an alias; return False and write nothing if its name is taken or its key has ``limit`` aliases."""
        ...

    def put_alias(self, record: AliasRecord, previous_key_id: str | None, limit: int | None = None) -> bool:
        """Insert an alias whose name must be free, or move it from ``previous_key_id``.

        Returns False and writes nothing if it would be moved to a key that has ``limit`` aliases already.
        """
        ...

    def remove_alias(self, record: AliasRecord) -> None:
        """Remove an alias, if it still points to the key of ``record``."""
        ...
