"""Domain keys, sealed by the root key."""

from typing import Protocol

from strongroom.crypto.seal import SealedDomainKey


class DomainKeyReader(Protocol):
    """Reads of domain keys."""

    def domain_keys(self) -> list[SealedDomainKey]:
        """Return every domain key, sealed."""
        ...


class DomainKeyWriter(Protocol):
    """Writes of domain keys."""

    def add_domain_key(self, record: SealedDomainKey) -> None:
        """Insert a domain key."""
        ...

    def replace_domain_key(self, record: SealedDomainKey) -> None:
        """Replace a domain key by the same one, sealed anew."""
        ...
