"""Checks the certificate files of an operator, and says what is wrong with one in words that name it.

OpenSSL's own words do not: it says ``PEM lib`` of a file that is empty, and asks on the terminal for the password of a
key that is encrypted.
"""

from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from strongroom.whole_files import read_regular

_FIRST_BYTE_OF_DER = b"\x30"


class CertificateError(Exception):
    """A file of certificates, or the key of one, cannot be used; the message names it and says what to do."""


class Validity(msgspec.Struct, frozen=True):
    """From when until when all certificates of a file are valid, in epoch seconds; ``file`` is its path."""

    file: str
    begins: float
    ends: float


def check_pair(chain: str, key: str) -> Validity:
    """Return how long a chain of certificates is valid, whose first one belongs to a private key. Both are PEM files.

    Raises CertificateError.
    """
    certificates = _read_certificates(chain, "the TLS certificate")
    public = _public_key(key)
    if public is not None and public != _public_key_of(certificates[0]):
        if public in map(_public_key_of, certificates):
            raise CertificateError(f"`{chain}` must begin with the certificate of the key `{key}`; put it first")
        raise CertificateError(
            f"the key `{key}` does not belong to the certificate `{chain}`; name the pair that was made together"
        )
    begins = max(each.not_valid_before_utc.timestamp() for each in certificates)
    return Validity(chain, begins, min(each.not_valid_after_utc.timestamp() for each in certificates))


def check_authorities(path: str) -> None:
    """Check a PEM file with the certificates of authorities; raises CertificateError."""
    _read_certificates(path, "the file of authorities")


def _read_certificates(path: str, what: str) -> list[x509.Certificate]:
    content = _content_of(path, what)
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        remedy = f"; convert it with: openssl x509 -inform der -in {path} -out FILE"
        is_der = content.startswith(_FIRST_BYTE_OF_DER)
        raise CertificateError(f"{what} `{path}` is not PEM, or is damaged{remedy if is_der else ''}") from None


def _public_key(path: str) -> bytes | None:
    """Return the public key of a private key; None for a kind of key that only OpenSSL knows."""
    content = _content_of(path, "the TLS key")
    try:
        key = load_pem_private_key(content, None)
    except TypeError:
        raise CertificateError(
            f"the TLS key `{path}` is encrypted; decrypt it with: openssl pkey -in {path} -out FILE"
        ) from None
    except ValueError:
        remedy = f"; convert it with: openssl pkey -inform der -in {path} -out FILE"
        is_der = content.startswith(_FIRST_BYTE_OF_DER)
        raise CertificateError(
            f"the TLS key `{path}` is no private key in PEM, or is damaged{remedy if is_der else ''}"
        ) from None
    except UnsupportedAlgorithm:
        return None
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _public_key_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _content_of(path: str, what: str) -> bytes:
    try:
        return read_regular(Path(path))
    except OSError as error:
        raise CertificateError(f"{what} `{path}` cannot be read: {error.strerror}") from None
