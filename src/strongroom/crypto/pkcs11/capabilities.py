"""What a token can do, found out by doing it with objects that end with their session."""

from typing import Protocol, TypeVar

import msgspec

from strongroom.bounded_cache import put
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.calls import Calls
from strongroom.crypto.pkcs11.connection import Connection, TokenSession
from strongroom.crypto.pkcs11.cryptoki import Attributes
from strongroom.crypto.pkcs11.known_answers import KnownAnswers
from strongroom.crypto.pkcs11.return_codes import REFUSALS, CryptokiError
from strongroom.crypto.pkcs11.token import Token

T = TypeVar("T")

_WRAPS = (c.CKM_AES_KEY_WRAP_KWP, c.CKM_AES_KEY_WRAP_PAD, c.CKM_AES_KEY_WRAP)
_MOST = 64


class Capabilities(msgspec.Struct, frozen=True):
    """What a token can do.

    ``keeps_keys`` tells whether it refuses to wrap a key that is not extractable, ``unwraps_sensitive`` whether it
    obeys an unwrap template (CKA_UNWRAP_TEMPLATE) by which what a key unwraps cannot be read.
    """

    known_answers: KnownAnswers
    keeps_keys: bool
    unwraps_sensitive: bool


class ConnectableToken(Token, Protocol):
    """A token that can be connected before it is used."""

    def require(self) -> Connection:
        """Connect now, and return the connection."""
        ...


_found: dict[tuple[str, ...], Capabilities] = {}


def capabilities_of(token: ConnectableToken, module: str) -> Capabilities:
    """Return what a token can do, found out once for each module, model, firmware and serial number.

    Raises as ``Token.run``.
    """
    name = token.require().name
    key = (module, name.model, name.firmware, name.serial)
    if key not in _found:
        put(_found, key, token.run(_try_all), _MOST)
    return _found[key]


def _try_all(session: TokenSession) -> Capabilities:
    calls, answers = session.calls, session.known_answers
    sensitive = answers.wrap is not None and _unwraps_sensitive(calls, answers.wrap)
    return Capabilities(answers, _keeps_keys(calls), sensitive)


def _keeps_keys(calls: Calls) -> bool:
    kept = calls.generate_key(_aes({c.CKA_SENSITIVE: True, c.CKA_EXTRACTABLE: False, c.CKA_ENCRYPT: True}))
    wrapping = calls.generate_key(_aes({c.CKA_WRAP: True, c.CKA_ENCRYPT: True}))
    try:
        return not any(_gives_away(calls, wrapping, kept, mechanism) for mechanism in _WRAPS)
    finally:
        for each in (kept, wrapping):
            calls.destroy_object(each)


def _gives_away(calls: Calls, wrapping: int, kept: int, mechanism: int) -> bool:
    try:
        calls.wrap_key(wrapping, kept, mechanism)
    except CryptokiError as error:
        if error.kind not in REFUSALS:
            raise
        return False
    return True


def _unwraps_sensitive(calls: Calls, mechanism: int) -> bool:
    """Tell whether a key with such a template unwraps a key of the token so that it cannot be read."""
    told: Attributes = {c.CKA_WRAP: True, c.CKA_UNWRAP: True, c.CKA_UNWRAP_TEMPLATE: {c.CKA_SENSITIVE: True}}
    key = calls.generate_key(_aes({c.CKA_SENSITIVE: True, c.CKA_EXTRACTABLE: True, c.CKA_ENCRYPT: True}))
    made = [key]
    try:
        made.append(wrapping := calls.generate_key(_aes(told)))
        wrapped = calls.wrap_key(wrapping, key, mechanism)
    except CryptokiError as error:
        if error.kind not in REFUSALS:
            raise
        return False
    else:
        return not _is_read(calls, wrapping, wrapped, mechanism)
    finally:
        for each in made:
            calls.destroy_object(each)


def _is_read(calls: Calls, wrapping: int, wrapped: bytes, mechanism: int) -> bool:
    readable = _aes({c.CKA_SENSITIVE: False, c.CKA_EXTRACTABLE: True, c.CKA_ENCRYPT: True})
    template = {name: value for name, value in readable.items() if name != c.CKA_VALUE_LEN}
    try:
        unwrapped = calls.unwrap_key(wrapping, wrapped, template, mechanism)
    except CryptokiError as error:
        if error.kind not in REFUSALS:
            raise
        return False
    try:
        return calls.attribute(unwrapped, c.CKA_SENSITIVE) != c.TRUE
    finally:
        calls.destroy_object(unwrapped)


def _aes(more: Attributes) -> Attributes:
    return {
        c.CKA_CLASS: c.CKO_SECRET_KEY,
        c.CKA_KEY_TYPE: c.CKK_AES,
        c.CKA_TOKEN: False,
        c.CKA_PRIVATE: True,
        c.CKA_VALUE_LEN: 32,
        **more,
    }
