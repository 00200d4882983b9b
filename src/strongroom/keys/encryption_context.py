"""The encryption context: key-value pairs bound to a ciphertext as additional authenticated data."""

from collections.abc import Mapping

from strongroom.errors import ValidationException

MAX_SIZE = 8192
"""The maximum number of characters of a context's keys and values together.

It is the most that AWS KMS sends to an external key store as additional authenticated data (XKS proxy API
specification, Encrypt).
"""


def require_size(context: Mapping[str, str] | None) -> None:
    """Refuse a context that is too large; raises ValidationException. The time of a decision grows with its size."""
    if context and sum(map(len, context)) + sum(map(len, context.values())) > MAX_SIZE:
        raise ValidationException(f"The encryption context is larger than {MAX_SIZE} characters.")


def canonical(context: Mapping[str, str] | None) -> bytes:
    """Return the canonical encoding of a context. It does not depend on the order of the pairs.

    Pairs are sorted by the UTF-8 bytes of their keys; every key and value is preceded by its length as four bytes,
    big-endian, so that no two contexts share an encoding. An empty context equals an absent one.
    """
    if not context:
        return b""
    parts: list[bytes] = []
    for key, value in sorted([(key.encode(), value.encode()) for key, value in context.items()]):
        parts += (len(key).to_bytes(4), key, len(value).to_bytes(4), value)
    return b"".join(parts)
