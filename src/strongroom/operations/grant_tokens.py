"""Grant tokens: sealed proof that a grant was made here.

Everyone sees a grant as soon as CreateGrant has answered, so a token is never needed to use one; it names the grant to
RetireGrant, and clients written for AWS send it along.
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
    """What a token says: which grant, on which key."""

    locator: KeyLocator
    grant_id: str


def issue(secrets: ServiceSecrets, token: GrantToken) -> str:
    """Return a token as text; two for the same grant differ."""
    return base64.urlsafe_b64encode(secrets.wrap(msgspec.msgpack.encode(token), GRANT_TOKEN_BINDING)).decode()


def read(secrets: ServiceSecrets, text: str) -> GrantToken:
    """Return what a token says; raises InvalidGrantTokenException if it is not one of ours."""
    try:
        sealed = base64.b64decode(text, altchars=b"-_", validate=True)
        return msgspec.msgpack.decode(secrets.unwrap(sealed, GRANT_TOKEN_BINDING), type=GrantToken)
    except (binascii.Error, ValueError, UnsealError, msgspec.DecodeError):
        raise InvalidGrantTokenException("The grant token is not valid.") from None
