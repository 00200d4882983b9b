"""Which version of its domain key a stored token needs, told from the token alone.

Tokens of key material that domain keys protect begin with one byte that names their format, and the version of the
domain key in four bytes, big-endian (``envelope``, and ``keys.external_keys`` for those of external keys).
"""

FORMATS = (b"\x01", b"\x03", b"\x11", b"\x13")
"""The first bytes of tokens that name a version: of a domain key in this process, of one that is used with an external
key, of one in a hardware token, and of one whose key encryption key is in a hardware token."""

VERSION = slice(1, 5)


def domain_key_version(token: bytes) -> int | None:
    """Return the version of the domain key that a token needs; None for a token that needs none."""
    return int.from_bytes(token[VERSION]) if token[:1] in FORMATS and len(token) >= VERSION.stop else None


def encoded_version(version: int) -> bytes:
    """Return a version as it is in a token. Encoded versions have the order of the numbers."""
    return version.to_bytes(4)
