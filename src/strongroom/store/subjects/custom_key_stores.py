"""Custom key stores."""

from typing import Protocol

from strongroom.keys.custom_key_stores import CustomKeyStore


class CustomKeyStoreReader(Protocol):
    """Reads of custom key stores."""

    def custom_key_store(self, account: str, region: str, store_id: str) -> CustomKeyStore | None:
        """Return a custom key store."""
        ...

    def custom_key_stores(self, account: str, region: str) -> list[CustomKeyStore]:
        """List all custom key stores of an account in a Region, by id; there are few."""
        ...

    def custom_key_stores_after(self, after: tuple[str, str, str], limit: int) -> list[CustomKeyStore]:
        """List custom key stores of all accounts by account, Region and id, after the one of these; empty for all."""
        ...

    def all_custom_key_stores(self) -> list[CustomKeyStore]:
        """List the custom key stores of all accounts and Regions."""
        ...

    def has_keys_in(self, store_id: str) -> bool:
        """Tell whether a custom key store holds keys."""
        ...


class CustomKeyStoreWriter(Protocol):
    """Writes of custom key stores."""

    def put_custom_key_store(self, store: CustomKeyStore) -> None:
        """Insert a custom key store, or update the one with its id."""
        ...

    def remove_custom_key_store(self, store: CustomKeyStore) -> None:
        """Remove a custom key store."""
        ...
