"""The AWS CloudHSM clusters of custom key stores, as operations see them: hardware tokens that the operator lists."""

from typing import Protocol

from strongroom.keys.custom_key_stores import ConnectionErrorCode, CustomKeyStore


class Clusters(Protocol):
    """The clusters that the operator allows."""

    @property
    def ids(self) -> frozenset[str]:
        """The ids of all clusters."""
        ...

    def require_usable(self, cluster_id: str, account: str, trust_anchor: str) -> None:
        """Refuse a cluster as the place of a key store of an account.

        Raises CloudHsmClusterNotFoundException for a cluster that is not listed, or not for that account, and
        IncorrectTrustAnchorException for another certificate than the listed one.
        """
        ...

    def try_connection(self, store: CustomKeyStore) -> ConnectionErrorCode | None:
        """Log in to the cluster of a store with its password, and out again; return why that failed, or None.

        It waits for the hardware, some seconds at most. A wrong password is tried once. Raises KMSInternalException
        while another call of this process connects the store.
        """
        ...

    def random_bytes(self, store: CustomKeyStore, length: int) -> bytes:
        """Return random bytes of the cluster of a store.

        Raises CustomKeyStoreInvalidStateException if it is not connected any more, KMSInternalException or
        DependencyTimeoutException if it does not answer.
        """
        ...
