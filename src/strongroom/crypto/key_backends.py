"""Selects the key back end that holds the material of a KMS key."""

from collections.abc import Mapping

from strongroom.crypto.key_backend import KeyBackend
from strongroom.errors import CustomKeyStoreInvalidStateException, KMSInvalidStateException
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import Origin


class KeyBackends:
    """Maps each key store to its back end: the default key store, and custom key stores by their ids.

    All external key stores have the same back end, ``external``, which finds out itself which of them is connected.
    """

    def __init__(
        self, default: KeyBackend, custom: Mapping[str, KeyBackend] | None = None, external: KeyBackend | None = None
    ) -> None:
        self._default = default
        self._custom = custom or {}
        self._external = external

    def of(self, key: KmsKey) -> KeyBackend:
        """Return the back end that holds a key's material.

        Raises KMSInvalidStateException if the key's custom key store has no back end (KMS API Reference, "Encrypt").
        """
        backend = self._find_of(key)
        if backend is None:
            raise KMSInvalidStateException(f"{key.arn} is unavailable: its custom key store is not connected.")
        return backend

    def of_store(self, store_id: str | None) -> KeyBackend:
        """Return the back end of a custom key store, or of the default key store for None.

        Raises CustomKeyStoreInvalidStateException if the custom key store has no back end.
        """
        backend = self._find(store_id)
        if backend is None:
            raise CustomKeyStoreInvalidStateException(f"The custom key store {store_id} is not connected.")
        return backend

    def blocks(self, key: KmsKey) -> bool:
        """Return whether making or loading material of a key waits for its back end.

        Without a back end it is False: use is then refused at once.
        """
        backend = self._find_of(key)
        return backend is not None and backend.blocks

    def blocks_when_loaded(self, key: KmsKey) -> bool:
        """Return whether using a key that was loaded waits for its back end as well."""
        backend = self._find_of(key)
        return backend is not None and backend.blocks_when_loaded

    def store_blocks(self, store_id: str | None) -> bool:
        """Return whether making a key in a key store waits for its back end; None is the default key store."""
        backend = self._find(store_id)
        return backend is not None and backend.blocks

    def is_external(self, store_id: str | None) -> bool:
        """Tell whether making a key in a key store calls an external key store proxy."""
        return self._external is not None and self._find(store_id) is self._external

    def _find_of(self, key: KmsKey) -> KeyBackend | None:
        store_id = key.custom_key_store_id
        if store_id is None:
            return self._default
        return self._external if key.origin is Origin.EXTERNAL_KEY_STORE else self._custom.get(store_id)

    def _find(self, store_id: str | None) -> KeyBackend | None:
        return self._default if store_id is None else self._custom.get(store_id, self._external)
