"""Which cryptographic module computes: the OpenSSL of the library ``cryptography``, and that of Python.

They are two copies in one process. The first computes with keys; the second hashes, and speaks TLS.
"""

import hashlib
import ssl

import msgspec
from cryptography.hazmat.backends.openssl import backend


class CryptographicModule(msgspec.Struct, frozen=True):
    """What the two copies of OpenSSL say of themselves.

    ``fips_property`` tells whether the first prefers algorithms of a FIPS provider. It is no proof that there is one:
    with the provider's file missing or damaged it says the same, and only a self-test finds out.
    """

    openssl: str
    openssl_of_python: str
    fips_property: bool
    hashes_by_openssl: bool

    def described(self) -> str:
        """Return it in a sentence without its end."""
        prefers = "prefers a FIPS provider" if self.fips_property else "does not ask for a FIPS provider"
        return f"{self.openssl} ({prefers}); hashes and TLS by {self.openssl_of_python}"


def cryptographic_module() -> CryptographicModule:
    """Return which module computes in this process."""
    return CryptographicModule(
        openssl=backend.openssl_version_text(),
        openssl_of_python=ssl.OPENSSL_VERSION,
        fips_property=backend._fips_enabled,  # noqa: SLF001 - the library has no other way to ask
        hashes_by_openssl=hashlib.sha256.__module__ == "_hashlib",
    )
