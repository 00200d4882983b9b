"""Domain keys, sealed by the root key."""

from typing import Protocol

from strongroom.crypto.seal import SealedDomainKey
from strongroom.keys.arns import KeyLocator
from strongroom.store.records import AccessKeyRecord


class DomainKeyReader(Protocol):
    """Reads of domain keys."""

    def domain_keys(self) -> list[SealedDomainKey]:
        """Return every domain key, sealed."""
        ...

    def material_under_older(self, region: str, version: int, after: str, limit: int) -> dict[str, KeyLocator]:
        """List key material of a Region that needs a domain key older than ``version``: its ids and keys, by id."""
        ...

    def count_material_under_older(self, region: str, version: int) -> int:
        """Count the key material of a Region that needs a domain key older than ``version``."""
        ...

    def count_keys_by_kind(self, region: str) -> dict[tuple[str, str], int]:
        """Count the keys of a Region whose material a domain key has wrapped, by spec and usage. It reads all keys."""
        ...

    def access_keys_under_older(self, version: int, after: str, limit: int) -> list[AccessKeyRecord]:
        """List access keys whose secrets need a domain key ``iam`` older than ``version``, by id."""
        ...

    def count_access_keys_under_older(self, version: int) -> int:
        """Count the access keys whose secrets need a domain key ``iam`` older than ``version``."""
        ...


class DomainKeyWriter(Protocol):
    """Writes of domain keys."""

    def add_domain_key(self, record: SealedDomainKey) -> None:
        """Insert a domain key."""
        ...

    def replace_domain_key(self, record: SealedDomainKey) -> None:
        """Replace a domain key by the same one, sealed anew."""
        ...

    def rewrap_access_key(self, record: AccessKeyRecord, wrapped_secret: bytes) -> None:
        """Replace the wrapped secret of an access key by the same one, wrapped anew; raises WriteConflict.

        ``record`` is the access key as it was read.
        """
        ...

    def remove_domain_key(self, record: SealedDomainKey) -> None:
        """Remove a domain key that nothing needs any more; raises WriteConflict if it is gone."""
        ...
