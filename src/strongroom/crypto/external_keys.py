"""Keys in external key managers, as the rest of the service sees them.

Only a back end with access to a network has such keys. What it does for a call of KMS, it tells the other side: who
calls, what for, and the request's id.
"""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

import msgspec

from strongroom.crypto.backing_keys import SymmetricKey
from strongroom.keys.custom_key_stores import CustomKeyStore


class KeyUser(msgspec.Struct, frozen=True):
    """On whose behalf something is done: the operation of KMS, its request id, the ARN of the caller, and the service.

    ``principal`` is a DNS name if a service calls for itself. ``via_service`` is the one that calls for the principal.
    """

    operation: str
    request_id: str
    principal: str
    via_service: str | None = None


FindUser: TypeAlias = Callable[[], KeyUser]
"""Returns on whose behalf a key is used; called for external keys alone."""


class ExternalKey(Protocol):
    """A key in an external key manager, before it is known on whose behalf it is used."""

    def used_by(self, user: KeyUser) -> SymmetricKey:
        """Return the key for one call. It raises KMSInvalidStateException if the external key cannot be used."""
        ...


class ExternalKeyManagers(Protocol):
    """The external key managers behind the proxies of external key stores. Methods wait for a network."""

    def require_healthy(self, store: CustomKeyStore, user: KeyUser) -> None:
        """Ask the proxy of a store, in whatever state that is, for its health; raises XksError."""
        ...

    def require_usable(self, store: CustomKeyStore, external_id: str, user: KeyUser) -> None:
        """Raise XksError unless an external key is an enabled AES-256 key that encrypts and decrypts."""
        ...

    def outcomes(self) -> Mapping[tuple[str, str], int]:
        """Return how many calls of proxies there were, by what was called and how it ended."""
        ...
