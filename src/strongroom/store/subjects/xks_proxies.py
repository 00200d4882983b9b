"""Proxies of external key stores of AWS KMS, their credentials, and the keys that they give out."""

from typing import Protocol

from strongroom.xks_proxy.registry import XksCredential, XksKey, XksProxy


class XksProxyReader(Protocol):
    """Reads of proxies."""

    def xks_proxy(self, prefix: str) -> XksProxy | None:
        """Return a proxy."""
        ...

    def xks_proxies(self) -> list[XksProxy]:
        """List all proxies, by prefix; there are few."""
        ...

    def xks_credentials(self, prefix: str) -> list[XksCredential]:
        """List the credentials of a proxy, the oldest first; there are few."""
        ...

    def all_xks_credentials(self) -> list[XksCredential]:
        """List the credentials of all proxies; there are few."""
        ...

    def xks_key(self, prefix: str, external_id: str) -> XksKey | None:
        """Return a key that a proxy gives out."""
        ...

    def xks_keys(self, prefix: str) -> list[XksKey]:
        """List all keys that a proxy gives out, by external id."""
        ...


class XksProxyWriter(Protocol):
    """Writes of proxies. Each adds one entry with the prefix to the change log."""

    def add_xks_proxy(self, proxy: XksProxy) -> None:
        """Insert a proxy, whose prefix must be free."""
        ...

    def remove_xks_proxy(self, proxy: XksProxy) -> None:
        """Remove a proxy with its credentials and all that it gives out; the KMS keys stay."""
        ...

    def add_xks_credential(self, credential: XksCredential) -> None:
        """Insert a credential."""
        ...

    def rewrap_xks_credential(self, credential: XksCredential, wrapped_secret: bytes) -> None:
        """Replace the wrapped secret of a credential by the same one; raises WriteConflict if it is gone."""
        ...

    def remove_xks_credential(self, credential: XksCredential) -> None:
        """Remove a credential."""
        ...

    def add_xks_key(self, key: XksKey) -> None:
        """Insert a key under an external id that must be free."""
        ...

    def remove_xks_key(self, key: XksKey) -> None:
        """Remove a key; the KMS key stays."""
        ...
