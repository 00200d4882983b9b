"""Import tokens: a wrapping key that only the service can use, sealed into a token that the client sends back.

The service stores nothing for them. A token has the key for which it was made, the wrapping algorithm, and its expiry.
"""

import msgspec

from strongroom.clock import DAY
from strongroom.crypto.binding import IMPORT_TOKEN_BINDING
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.errors import ExpiredImportTokenException, InvalidImportTokenException
from strongroom.keys.arns import KeyLocator
from strongroom.keys.wrapping import WrappingAlgorithm

VALIDITY = DAY


class ImportToken(msgspec.Struct, frozen=True):
    """The content of a token. ``wrapping_token`` is the key back end's; ``expires_at`` is in epoch seconds."""

    locator: KeyLocator
    wrapping_token: bytes
    algorithm: WrappingAlgorithm
    expires_at: float


def issue(secrets: ServiceSecrets, token: ImportToken) -> bytes:
    """Return a token sealed, well below the 6,144 bytes that a request can carry."""
    return secrets.wrap(msgspec.msgpack.encode(token), IMPORT_TOKEN_BINDING)


def read(secrets: ServiceSecrets, sealed: bytes, locator: KeyLocator, now: float) -> ImportToken:
    """Return the content of a token.

    Raises InvalidImportTokenException if it was not issued here for that key, and ExpiredImportTokenException after
    its 24 hours.
    """
    try:
        token = msgspec.msgpack.decode(secrets.unwrap_token(sealed, IMPORT_TOKEN_BINDING), type=ImportToken)
    except (UnsealError, ValueError, msgspec.DecodeError):
        raise InvalidImportTokenException("The import token is not valid.") from None
    if token.locator != locator:
        raise InvalidImportTokenException("The import token belongs to a different KMS key.")
    if token.expires_at <= now:
        raise ExpiredImportTokenException("The import token has expired.")
    return token
