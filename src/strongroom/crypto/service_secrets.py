"""Secrets of the service itself: of access keys, custom key stores and the audit key, and the contents of tokens.

They are always protected in software, by the domain key of the scope ``iam``, also if a hardware token holds the key
material of KMS keys: every signed request needs one, so they have to be fast.
"""

from strongroom.crypto.domain_keys import IAM_SCOPE, DomainKeys


class ServiceSecrets:
    """Wraps small secrets: those that the store keeps, and those that session, grant and import tokens carry."""

    def __init__(self, domain_keys: DomainKeys) -> None:
        self._domain_keys = domain_keys

    def wrap(self, secret: bytes, bound_to: bytes) -> bytes:
        """Return a secret wrapped under the ``iam`` domain key, bound to ``bound_to`` (see ``binding``)."""
        return self._domain_keys.wrap(IAM_SCOPE, secret, bound_to)

    def unwrap(self, wrapped: bytes, bound_to: bytes) -> bytes:
        """Return a stored secret; raises UnsealError if it was not wrapped by this deployment for ``bound_to``."""
        return self._domain_keys.unwrap(IAM_SCOPE, wrapped, bound_to)

    def unwrap_token(self, wrapped: bytes, bound_to: bytes) -> bytes:
        """Return the content of a token that a client has sent; raises UnsealError if it was not issued here.

        Raises DestroyedDomainKeyError, an UnsealError, if it names a domain key that was destroyed.
        """
        return self._domain_keys.unwrap(IAM_SCOPE, wrapped, bound_to, stored=False)

    def forget_dropped(self) -> None:
        """Forget the domain keys that were dropped before this was called last."""
        self._domain_keys.forget_dropped()

    def note_change(self) -> None:
        """Note that other processes have made or destroyed domain keys."""
        self._domain_keys.note_change()

    def take_over_changes(self) -> None:
        """Take over domain keys of which a change was noted. It may wait for the database."""
        self._domain_keys.take_over_changes()
