"""Selects the key back end that holds the material of a KMS key."""

from typing import Protocol

from strongroom.crypto.key_backend import KeyBackend
from strongroom.errors import CustomKeyStoreInvalidStateException, KMSInvalidStateException
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import Origin


class CustomBackends(Protocol):
    """The back ends of custom key stores in AWS CloudHSM. Each finds out itself whether its store is connected."""

    def get(self, store_id: str, /) -> KeyBackend | None:
        """Return the back end of a store, or None if it has none."""
        ...


class KeyBackends:
    """Maps each key store to its back end: the default key store, and custom key stores by their ids.

    All external key stores have the same back end, ``external``, which finds out itself which of them is connected.
    """

    def __init__(
        self, default: KeyBackend, custom: CustomBackends | None = None, external: KeyBackend | None = None
    ) -> None:
        self._default = default
        self._custom = custom
        self._external = external

    def of(self, key: KmsKey) -> KeyBackend:
        """Return the back end that holds a key's material.

        Raises KMSInvalidStateException if the key's custom key store has no back end (KMS API Reference, "Encrypt").
        """
        backend = self._find_of(key)
        if backend is None:
            raise KMSInvalidStateException(f"{key.arn} is unavailable: its custom key store is not connected.")
        return backend

    def of_store(self, store_id: str | None, *, external: bool = False) -> KeyBackend:
        """Return the back end of a custom key store, or of the default key store for None.

        ``external`` tells whether it is an external key store. Raises CustomKeyStoreInvalidStateException if the custom
        key store has no back end.
        """
        backend = self._find(store_id, external=external)
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

    def store_blocks(self, store_id: str | None, *, external: bool = False) -> bool:
        """Return whether making a key in a key store waits for its back end; the parameters are as in ``of_store``."""
        backend = self._find(store_id, external=external)
        return backend is not None and backend.blocks

    def keeps_material(self, store_id: str | None, *, external: bool = False) -> bool:
        """Return whether erased material of a key store must be destroyed; the parameters are as in ``of_store``.

        It must if the back end is not known here.
        """
        backend = self._find(store_id, external=external)
        return backend is None or backend.keeps_material

    def _find_of(self, key: KmsKey) -> KeyBackend | None:
        return self._find(key.custom_key_store_id, external=key.origin is Origin.EXTERNAL_KEY_STORE)

    def _find(self, store_id: str | None, *, external: bool) -> KeyBackend | None:
        if store_id is None:
            return self._default
        if external:
            return self._external
        return None if self._custom is None else self._custom.get(store_id)
