"""Known-answer tests of a token, whenever it was connected. A wrong answer stops its use; what it lacks is noted.

The expected answers are computed here by OpenSSL for the same keys, which are made known to the token for this alone:
HMAC-SHA-256 (FIPS 198-1), AES-256-GCM (NIST SP 800-38D), and AES key wrap with padding (RFC 5649).
"""

import hmac

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding

from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.calls import Calls, IvSource
from strongroom.crypto.pkcs11.cryptoki import Attributes
from strongroom.crypto.pkcs11.return_codes import REFUSALS, CryptokiError

_KEY = bytes(range(32))
_SECRET = bytes(range(64, 96))
_ODD_SECRET = bytes(range(96, 141))
"""45 bytes: a length that other mechanisms of the same number pad in other ways. SoftHSM signs with none below 32."""
_IV, _AAD, _TEXT = bytes(range(12)), bytes(range(32)), b"known-answer test of a token"
_WRAPS = (c.CKM_AES_KEY_WRAP_KWP, c.CKM_AES_KEY_WRAP_PAD)


class WrongAnswerError(Exception):
    """A token has computed something else than it should have. The message names the algorithm."""


class KnownAnswers(msgspec.Struct, frozen=True):
    """Which algorithms have given the right answer. Those that are missing are not there, or not for known keys.

    ``gcm`` is where the initialization vector comes from, ``wrap`` the number of the mechanism that is RFC 5649: tokens
    differ in both.
    """

    gcm: IvSource | None = None
    mac: bool = False
    wrap: int | None = None


def test_known_answers(calls: Calls, wrap: int | None) -> KnownAnswers:
    """Test what the token has; raises WrongAnswerError, and CryptokiError if it does not answer.

    ``wrap`` is the number that is RFC 5649, if that is known. A token that takes no known keys is not asked for an
    answer to it.
    """
    key = _made(calls, _aes({c.CKA_ENCRYPT: True, c.CKA_DECRYPT: True}))
    wrapping = _made(calls, _aes({c.CKA_WRAP: True, c.CKA_UNWRAP: True}))
    secret = _made(calls, _secret(_SECRET))
    try:
        return KnownAnswers(
            gcm=next((each for each in IvSource if _gcm(calls, key, each)), None),
            mac=_mac(calls, secret),
            wrap=_wrap_of(calls, wrapping, wrap),
        )
    finally:
        for each in (key, wrapping, secret):
            if each is not None:
                calls.destroy_object(each)


def _gcm(calls: Calls, key: int | None, source: IvSource) -> bool:
    if key is None:
        return False
    ours = AESGCM(_KEY)
    try:
        iv, found = calls.seal_gcm(key, _IV, _AAD, _TEXT, source)
        opened = calls.decrypt_gcm(key, _IV, _AAD, ours.encrypt(_IV, _TEXT, _AAD))
    except CryptokiError as error:
        return _missing(error)
    if found != ours.encrypt(iv, _TEXT, _AAD) or opened != _TEXT:
        raise WrongAnswerError("AES-256-GCM")
    return True


def _mac(calls: Calls, key: int | None) -> bool:
    if key is None:
        return False
    try:
        found = calls.mac(key, _TEXT)
    except CryptokiError as error:
        return _missing(error)
    if not hmac.compare_digest(found, hmac.digest(_SECRET, _TEXT, "sha256")):
        raise WrongAnswerError("HMAC-SHA-256")
    return True


def _wrap_of(calls: Calls, wrapping: int | None, named: int | None) -> int | None:
    """Return the number that is RFC 5649; None where none is, or the one that is named is not."""
    if wrapping is None:
        return named
    numbers = _WRAPS if named is None else (named,)
    return next((each for each in numbers if _wraps(calls, wrapping, each)), None)


def _wraps(calls: Calls, wrapping: int, mechanism: int) -> bool:
    """Tell whether a mechanism is RFC 5649. Another answer is no fault: the same number has several meanings."""
    for value in (_SECRET, _ODD_SECRET):
        expected = aes_key_wrap_with_padding(_KEY, value)
        try:
            # SoftHSM pads a key before it wraps it, so only what comes back is compared there.
            unwrapped = calls.unwrap_key(wrapping, expected, _secret(None), mechanism)
            mac = calls.mac(unwrapped, _TEXT)
            calls.destroy_object(unwrapped)
        except CryptokiError as error:
            # SoftHSM says GENERAL_ERROR of a mechanism that is none for wrapping with padding.
            if not calls.is_refusal(error):
                raise
            return False
        if mac != hmac.digest(value, _TEXT, "sha256"):
            return False
    return True


def _made(calls: Calls, attributes: Attributes) -> int | None:
    """Make a key of known value; return None where the token takes none."""
    try:
        return calls.create_object(attributes)
    except CryptokiError as error:
        _missing(error)
        return None


def _missing(error: CryptokiError) -> bool:
    if error.kind not in REFUSALS:
        raise error
    return False


def _aes(usage: Attributes) -> Attributes:
    return {
        c.CKA_CLASS: c.CKO_SECRET_KEY,
        c.CKA_KEY_TYPE: c.CKK_AES,
        c.CKA_TOKEN: False,
        c.CKA_PRIVATE: True,
        **usage,
        c.CKA_VALUE: _KEY,
    }


def _secret(value: bytes | None) -> Attributes:
    return {
        c.CKA_CLASS: c.CKO_SECRET_KEY,
        c.CKA_KEY_TYPE: c.CKK_GENERIC_SECRET,
        c.CKA_TOKEN: False,
        c.CKA_PRIVATE: True,
        c.CKA_EXTRACTABLE: True,
        c.CKA_SENSITIVE: False,
        c.CKA_SIGN: True,
        **({} if value is None else {c.CKA_VALUE: value}),
    }
