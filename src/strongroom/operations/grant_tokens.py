"""Grant tokens: sealed references to grants that this service made.

A grant is in force everywhere as soon as CreateGrant has answered, so no caller needs its token to use it. RetireGrant
accepts the token as the name of a grant, and clients written for AWS send tokens with other calls.
"""

import base64
import binascii

import msgspec

from strongroom.crypto.binding import GRANT_TOKEN_BINDING
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.errors import InvalidGrantTokenException
from strongroom.keys.arns import KeyLocator


class GrantToken(msgspec.Struct, frozen=True):
    """The content of a token: which grant, on which key."""

    locator: KeyLocator
    grant_id: str


def issue(secrets: ServiceSecrets, token: GrantToken) -> str:
    """Return a token as text. Two tokens for the same grant differ."""
    return base64.urlsafe_b64encode(secrets.wrap(msgspec.msgpack.encode(token), GRANT_TOKEN_BINDING)).decode()


def read(secrets: ServiceSecrets, text: str) -> GrantToken:
    """Return the content of a token; raises InvalidGrantTokenException if this service did not make it."""
    try:
        sealed = base64.b64decode(text, altchars=b"-_", validate=True)
        return msgspec.msgpack.decode(secrets.unwrap_token(sealed, GRANT_TOKEN_BINDING), type=GrantToken)
    except (binascii.Error, ValueError, UnsealError, msgspec.DecodeError):
        raise InvalidGrantTokenException("The grant token is not valid.") from None
