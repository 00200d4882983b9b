"""Web identity tokens: JSON Web Tokens of OpenID Connect issuers, verified against the issuers' public keys.

Source: OpenID Connect Core 1.0, 3.1.3.7 "ID Token Validation"; RFC 7519; RFC 8725 (best current practices).

Names in a token are case-sensitive, but the condition keys that policies ask with are not. So a token that could be
read in two ways is refused: one with a member twice, or with claims whose names differ in case alone. A claim whose
name is a registered one but for its case is no claim that a policy can ask for.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import TypeGuard, cast

import jwt
import msgspec

from strongroom.crypto.documents.fetched_keys import FetchedKeys
from strongroom.crypto.documents.issuer_keys import IssuerKeys, accepted_algorithms
from strongroom.errors import (
    ExpiredTokenException,
    IDPCommunicationErrorException,
    IDPRejectedClaimException,
    InvalidIdentityTokenException,
)
from strongroom.iam.entities import OpenIdConnectProvider
from strongroom.settings import IdentityProvider, IdentityProviderKeys

_SKEW = 60.0
_END_OF_TIME = 1e11
_PARTS = 3
_MAX_SHOWN = 255
"""How much of an issuer that is not known a message shows."""
# RFC 7519, 4.1, and the claims of an ID token that AWS has condition keys for.
_REGISTERED = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "azp", "amr", "email", "oaud"})
# Times are checked against our own clock, below.
_OPTIONS: jwt.types.Options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}


class WebIdentity(msgspec.Struct, frozen=True):
    """The identity in a verified token. ``provider`` is the issuer without its scheme.

    ``claims`` has the claims of text that policies can ask for, by their names in lower case.
    """

    issuer: str
    provider: str
    subject: str
    audience: str
    claims: Mapping[str, tuple[str, ...]]


class UnverifiedToken(msgspec.Struct, frozen=True):
    """A token that says of itself who issued it. Nothing in it may be believed yet."""

    text: str
    issuer: str
    key_id: object


class _Issuer(msgspec.Struct, frozen=True):
    """The issuer of a token as it is trusted here: whom its tokens may be for, and its keys."""

    url: str
    audiences: tuple[str, ...]
    keys: jwt.PyJWKSet


class WebIdentities:
    """The issuers whose tokens are accepted: those of the settings by all accounts, and each account's own by it."""

    def __init__(
        self,
        providers: tuple[IdentityProvider, ...] = (),
        key_files: tuple[IdentityProviderKeys, ...] = (),
        fetched: FetchedKeys | None = None,
    ) -> None:
        """Take the issuers and key files of the settings, and what fetches keys, if that is allowed."""
        self._providers = {provider.issuer: provider for provider in providers}
        self._files = {each.issuer: each.jwks for each in providers} | {each.issuer: each.jwks for each in key_files}
        self._keys = IssuerKeys()
        self._fetched = fetched

    def may_fetch(self, own: OpenIdConnectProvider | None) -> bool:
        """Tell whether ``verify`` may have to wait for an issuer, so that it must not run on an event loop."""
        return self._fetched is not None and own is not None and own.keys is None and own.issuer not in self._files

    def verify(self, token: UnverifiedToken, own: OpenIdConnectProvider | None, now: float) -> WebIdentity:
        """Return the identity in a token that is valid at ``now`` (epoch seconds).

        ``own`` is the provider of the role's account that has the token's issuer; it comes before one in the settings.
        Raises InvalidIdentityTokenException, IDPRejectedClaimException, ExpiredTokenException, and
        IDPCommunicationErrorException when the issuer's keys cannot be read.
        """
        issuer = self._trusted(token, own, now)
        key = _key(issuer, token)
        try:
            claims = jwt.decode(
                token.text, key.key, algorithms=accepted_algorithms(key), issuer=issuer.url, options=_OPTIONS
            )
        except (jwt.PyJWTError, RecursionError):
            raise _unverifiable() from None
        _require_time(claims, now)
        subject = claims.get("sub")
        audience = next((each for each in _texts(claims.get("aud")) if each in issuer.audiences), None)
        if audience is None:
            raise InvalidIdentityTokenException("Incorrect token audience")
        if not isinstance(subject, str) or not subject:
            raise IDPRejectedClaimException("The web identity token has no subject.")
        name = issuer.url.partition("://")[2]
        return WebIdentity(issuer.url, name, subject, audience, _askable(claims))

    def _trusted(self, token: UnverifiedToken, own: OpenIdConnectProvider | None, now: float) -> _Issuer:
        configured = self._providers.get(token.issuer)
        if own is not None:
            return _Issuer(own.issuer, own.client_ids, self._keys_of(own, token, now))
        if configured is None:
            raise InvalidIdentityTokenException(
                f"No OpenIDConnect provider found in your account for {token.issuer[:_MAX_SHOWN]}"
            )
        return _Issuer(configured.issuer, configured.audiences, self._keys_in_file(configured.issuer, configured.jwks))

    def _keys_of(self, provider: OpenIdConnectProvider, token: UnverifiedToken, now: float) -> jwt.PyJWKSet:
        if provider.keys is not None:
            return self._keys.in_text(provider.keys)
        file = self._files.get(provider.issuer)
        if file is not None:
            return self._keys_in_file(provider.issuer, file)
        keys = None if self._fetched is None else self._fetched.of(provider.issuer, provider.account, token.key_id, now)
        if keys is None:
            raise InvalidIdentityTokenException(
                "Couldn't retrieve verification key from your identity provider, "
                "please reference AssumeRoleWithWebIdentity documentation for requirements"
            )
        return keys

    def _keys_in_file(self, issuer: str, file: str) -> jwt.PyJWKSet:
        keys = self._keys.in_file(issuer, file)
        if keys is None:
            raise IDPCommunicationErrorException(f"The keys of {issuer} cannot be read.")
        return keys


def read_token(text: str) -> UnverifiedToken:
    """Return a token with its issuer and the key it names; raises InvalidIdentityTokenException.

    Header and claims must be JSON that can be read in one way only.
    """
    parts = text.split(".")
    if len(parts) != _PARTS:
        raise _unverifiable()
    header, claims = (_unambiguous(part) for part in parts[:2])
    if len({name.lower() for name in claims}) != len(claims):
        raise InvalidIdentityTokenException("The web identity token has claims whose names differ in case alone.")
    return UnverifiedToken(text, str(claims.get("iss")), header.get("kid"))


def _unambiguous(part: str) -> dict[str, object]:
    """Return the JSON object in a part of a token, in which no member may be there twice, at any depth."""
    try:
        raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        value: object = json.loads(raw, object_pairs_hook=_distinct)
        # JSON can spell half of a surrogate pair. That is no text: it could not be recorded, nor answered.
        json.dumps(value, ensure_ascii=False).encode()
    # RecursionError: it is deeply nested. It is read before its signature is verified.
    except (binascii.Error, ValueError, RecursionError):
        raise _unverifiable() from None
    if not isinstance(value, dict):
        raise _unverifiable()
    return cast("dict[str, object]", value)


def _distinct(members: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(members)
    if len(found) != len(members):
        raise ValueError(members)
    return found


def _key(issuer: _Issuer, token: UnverifiedToken) -> jwt.PyJWK:
    for key in issuer.keys.keys:
        if token.key_id is None or key.key_id == token.key_id:
            return key
    raise InvalidIdentityTokenException("The web identity token is signed with a key the issuer does not list.")


def _unverifiable() -> InvalidIdentityTokenException:
    return InvalidIdentityTokenException("Couldn't verify the web identity token.")


def _askable(claims: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    """Return the claims of text by their names in lower case, registered ones only if named exactly so."""
    texts = {name: _texts(value) for name, value in claims.items()}
    return {
        name.lower(): values
        for name, values in texts.items()
        if values and (name in _REGISTERED or name.lower() not in _REGISTERED)
    }


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
