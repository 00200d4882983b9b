"""Grant tokens: sealed references to grants that this service made.

A grant is in force everywhere as soon as CreateGrant has answered, so no caller needs its token to use it. RetireGrant
accepts the token as the name of a grant, and clients written for AWS send tokens with other calls.

A token opens until the domain key that sealed it is destroyed, at the end of a rotation. Clients may keep it longer:
the AWS Encryption SDK, for one, has grant tokens in its settings.
"""

import base64
import binascii
from contextlib import suppress

import msgspec

from strongroom.crypto.binding import GRANT_TOKEN_BINDING
from strongroom.crypto.seal import DestroyedDomainKeyError, UnsealError
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


def check(secrets: ServiceSecrets, text: str) -> None:
    """Refuse what this service did not issue as a token; raises InvalidGrantTokenException.

    A token whose domain key was destroyed passes. It cannot be told from a forged one any more, but it decides nothing
    where it is only checked.
    """
    with suppress(DestroyedDomainKeyError):
        _open(secrets, text)


def read(secrets: ServiceSecrets, text: str) -> GrantToken:
    """Return the content of a token; raises InvalidGrantTokenException if this service did not make it.

    Raises the same, with a message that says so, if the domain key that sealed it was destroyed.
    """
    try:
        return _open(secrets, text)
    except DestroyedDomainKeyError:
        raise InvalidGrantTokenException(
            "The grant token was issued under a domain key that is not in use any more. Name the grant by its key ARN "
            "and grant ID."
        ) from None


def _open(secrets: ServiceSecrets, text: str) -> GrantToken:
    """Return the content of a token; raises InvalidGrantTokenException and DestroyedDomainKeyError."""
    try:
        sealed = base64.b64decode(text, altchars=b"-_", validate=True)
        return msgspec.msgpack.decode(secrets.unwrap_token(sealed, GRANT_TOKEN_BINDING), type=GrantToken)
    except DestroyedDomainKeyError:
        raise
    except (binascii.Error, ValueError, UnsealError, msgspec.DecodeError):
        raise InvalidGrantTokenException("The grant token is not valid.") from None
