"""Web identity tokens: JSON Web Tokens of configured OpenID Connect issuers, verified against the issuers' public keys.

Source: OpenID Connect Core 1.0, 3.1.3.7 "ID Token Validation"; RFC 7519; RFC 8725 (best current practices): the
algorithm comes from a fixed list, never from the token alone, and symmetric algorithms are not in it.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TypeGuard, cast

import jwt
import msgspec

from strongroom.errors import (
    ExpiredTokenException,
    IDPCommunicationErrorException,
    IDPRejectedClaimException,
    InvalidIdentityTokenException,
)
from strongroom.settings import IdentityProvider

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_SKEW = 60.0
_END_OF_TIME = 1e11
# Times are checked against our own clock, below.
_OPTIONS: jwt.types.Options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
_UNVERIFIED: jwt.types.Options = {**_OPTIONS, "verify_signature": False}
# What parsing raises for a file that is not a JWK set.
_NOT_KEYS = (ValueError, TypeError, AttributeError, RecursionError, jwt.PyJWTError)

logger = logging.getLogger(__name__)


class WebIdentity(msgspec.Struct, frozen=True):
    """The identity in a verified token. ``provider`` is the issuer without its scheme; ``claims`` has those of text."""

    issuer: str
    provider: str
    subject: str
    audience: str
    claims: Mapping[str, tuple[str, ...]]


class WebIdentities:
    """The issuers whose tokens are accepted. Their keys are read from their files, again when a file has changed."""

    def __init__(self, providers: tuple[IdentityProvider, ...]) -> None:
        self._providers = {provider.issuer: provider for provider in providers}
        self._keys: dict[str, tuple[int, jwt.PyJWKSet]] = {}

    def verify(self, token: str, now: float) -> WebIdentity:
        """Return the identity in a token that is valid at ``now`` (epoch seconds).

        Raises InvalidIdentityTokenException, IDPRejectedClaimException, ExpiredTokenException, and
        IDPCommunicationErrorException when the issuer's keys cannot be read.
        """
        try:
            unverified = jwt.decode(token, options=_UNVERIFIED)
            provider = self._providers.get(str(unverified.get("iss")))
            if provider is None:
                raise InvalidIdentityTokenException(
                    f"No OpenIDConnect provider found in your account for {unverified.get('iss')}"
                )
            key = self._key(provider, jwt.get_unverified_header(token).get("kid"))
            claims = jwt.decode(token, key.key, algorithms=_accepted(key), issuer=provider.issuer, options=_OPTIONS)
        # RecursionError: the token is deeply nested JSON. It is decoded before its signature is verified.
        except (jwt.PyJWTError, RecursionError):
            raise InvalidIdentityTokenException("Couldn't verify the web identity token.") from None
        _require_time(claims, now)
        subject = claims.get("sub")
        audience = next((each for each in _texts(claims.get("aud")) if each in provider.audiences), None)
        if audience is None:
            raise InvalidIdentityTokenException("Incorrect token audience")
        if not isinstance(subject, str) or not subject:
            raise IDPRejectedClaimException("The web identity token has no subject.")
        texts = {name: _texts(value) for name, value in claims.items()}
        return WebIdentity(provider.issuer, provider.name, subject, audience, {k: v for k, v in texts.items() if v})

    def _key(self, provider: IdentityProvider, key_id: object) -> jwt.PyJWK:
        for key in self._key_set(provider).keys:
            if key_id is None or key.key_id == key_id:
                return key
        raise InvalidIdentityTokenException("The web identity token is signed with a key the issuer does not list.")

    def _key_set(self, provider: IdentityProvider) -> jwt.PyJWKSet:
        path = Path(provider.jwks)
        try:
            changed_at = path.stat().st_mtime_ns
            known = self._keys.get(provider.issuer)
            if known is None or known[0] != changed_at:
                known = self._keys[provider.issuer] = (changed_at, jwt.PyJWKSet.from_json(path.read_text()))
        except (OSError, *_NOT_KEYS) as error:
            logger.warning("the keys of %s cannot be read from %s: %s", provider.issuer, path, error)
            raise IDPCommunicationErrorException(f"The keys of {provider.issuer} cannot be read.") from None
        return known[1]


def _accepted(key: jwt.PyJWK) -> list[str]:
    """Return the algorithms a key may be used with."""
    named = key.algorithm_name
    return [named] if named in _ALGORITHMS else []


def _require_time(claims: Mapping[str, object], now: float) -> None:
    expires_at, begins_at = claims.get("exp"), claims.get("nbf", 0)
    if not _is_time(expires_at) or not _is_time(begins_at):
        raise InvalidIdentityTokenException("The web identity token does not say when it expires.")
    if now > expires_at + _SKEW:
        raise ExpiredTokenException(
            f"Token expired: current date/time {int(now)} must be before the expiration date/time {int(expires_at)}"
        )
    if now < begins_at - _SKEW:
        raise InvalidIdentityTokenException("The web identity token is not valid yet.")


def _is_time(value: object) -> TypeGuard[float]:
    # Python's JSON parser accepts infinity and NaN.
    return isinstance(value, int | float) and 0 <= value < _END_OF_TIME


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list):
        return tuple(each for each in cast("list[object]", value) if isinstance(each, str))
    return ()
