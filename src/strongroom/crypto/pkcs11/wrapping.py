"""The AES-256 keys of Regions and seals in a token, which never leave it, and what they wrap.

In root depth that is a domain key, whose envelopes are made here; in full depth, a key encryption key, which wraps keys
of the token alone (``crypto.hsm``). An envelope of a domain key, and of a seal's key::

    offset  length
    0       1       version, 0x11
    1       4       version of the domain key, big-endian
    5       n + 29  what the key has encrypted (``aes_keys``)

Tokens limit the length of additional authenticated data, so it is SHA-256 of the first five bytes and the binding.
"""

import calendar
import time
from contextlib import suppress
from hashlib import sha256

from strongroom.crypto.envelope import TOKEN_VERSION
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.aes_keys import FOR_WRAPPING, OURS, NotAuthenticError, TokenAesKey
from strongroom.crypto.pkcs11.calls import Calls
from strongroom.crypto.pkcs11.connection import TokenSession
from strongroom.crypto.pkcs11.return_codes import CryptokiError, Kind
from strongroom.crypto.pkcs11.token import Token
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.token_errors import TokenFaultError
from strongroom.entropy import Entropy

ID_LENGTH = 16
_LABEL = "strongroom"
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_LISTING = 30.0
"""Seconds that a listing may take: other programs may have thousands of keys in the token."""


class TokenWrapper:
    """Wraps under a key in a token. Each use is a call of the token."""

    def __init__(self, token: Token, object_id: bytes, version: int, entropy: Entropy) -> None:
        self._key = TokenAesKey(token, object_id)
        self._prefix = bytes((TOKEN_VERSION,)) + version.to_bytes(4)
        self._entropy = entropy

    def wrap(self, plaintext: bytes, binding: bytes) -> bytes:
        """Return an envelope around ``plaintext``, bound to ``binding``; raises as ``Token.run``."""
        return self._prefix + self._key.encrypt(plaintext, self._associated_data(binding), self._entropy)

    def unwrap(self, envelope: bytes, binding: bytes) -> bytes:
        """Return the content; raises UnsealError unless this key wrapped it for ``binding``, else as ``Token.run``."""
        if not envelope.startswith(self._prefix):
            raise UnsealError("not an envelope of this key")
        try:
            return self._key.decrypt(envelope[len(self._prefix) :], self._associated_data(binding))
        except NotAuthenticError:
            raise UnsealError("the envelope is damaged, or bound to something else") from None

    def _associated_data(self, binding: bytes) -> bytes:
        return sha256(self._prefix + binding).digest()


def create_wrapping_key(token: Token, object_id: bytes, scope: str, version: int, now: float | None = None) -> None:
    """Have a token make a domain key, or a key of a seal, which it can never give away; raises as ``Token.run``.

    Its label says that it was made at ``now``, in epoch seconds.
    """
    TokenAesKey(token, object_id).create(label_of(scope, version, now))


def create_key_encryption_key(
    token: Token, object_id: bytes, scope: str, version: int, now: float | None = None
) -> None:
    """Have a token make a key encryption key: it wraps and unwraps keys, and nothing else.

    If the token can be told so, what it unwraps is always sensitive. ``now`` is as above. Raises as ``Token.run``.
    """
    key, label = TokenAesKey(token, object_id), label_of(scope, version, now)
    try:
        key.create(label, {**FOR_WRAPPING, c.CKA_UNWRAP_TEMPLATE: {c.CKA_SENSITIVE: True}})
    except TokenFaultError:
        # Many tokens do not know the attribute; what else is wrong is met again.
        key.create(label, FOR_WRAPPING)


def key_encryption_key(session: TokenSession, object_id: bytes) -> int:
    """Return the handle of a key encryption key; raises CryptokiError with OBJECT_HANDLE_INVALID if there is none."""
    return session.find(object_id, {**OURS, c.CKA_ID: object_id})


def destroy_wrapping_key(token: Token, object_id: bytes) -> None:
    """Destroy such a key, of any kind: nothing opens again what it has wrapped. Raises as ``Token.run``."""
    TokenAesKey(token, object_id).destroy()


def label_of(scope: str, version: int, now: float | None = None) -> str:
    """Return the label of a key's object, for people; with when it was made, unless that is None."""
    made = "" if now is None else f"/{time.strftime(_TIME, time.gmtime(now))}"
    return f"{_LABEL}/{scope}/{version}{made}"


def made_at(label: str) -> float | None:
    """Return when an object was made, epoch seconds; None if its label does not say so, as those of older releases."""
    with suppress(ValueError, OverflowError):
        return float(calendar.timegm(time.strptime(label.rpartition("/")[2], _TIME)))
    return None


def is_in_token(token: Token, object_id: bytes, *, again: bool = True) -> bool:
    """Tell whether a token has such a key, of any kind; ``again`` is that of ``TokenAesKey.is_there``.

    Raises as ``Token.run``.
    """
    return TokenAesKey(token, object_id).is_there(again=again)


def wrapping_keys_in(token: Token) -> dict[bytes, str]:
    """Return the ids of all such keys in a token, of any kind, with their labels; raises as ``Token.run``.

    All AES keys of the token are looked at, those of other programs too, which may be destroyed meanwhile. To learn
    whether it has one key, use ``is_in_token``.
    """

    def work(session: TokenSession) -> tuple[dict[bytes, str], bool]:
        named, is_whole = dict[bytes, str](), True
        for handle in session.calls.find_objects({**OURS, c.CKA_KEY_TYPE: c.CKK_AES}):
            try:
                named.update(_named(session.calls, handle))
            except CryptokiError as error:
                if error.kind is not Kind.HANDLE:
                    raise
                # It was destroyed, or a token that was away for a moment shows none of its objects any more.
                is_whole = False
        return named, is_whole

    found, _ = token.search(work, lambda result: result[1], patience=_LISTING)
    return found


def _named(calls: Calls, handle: int) -> dict[bytes, str]:
    """Return the id of a key with its label; nothing if it is not ours."""
    label = (calls.attribute_or_none(handle, c.CKA_LABEL) or b"").decode(errors="replace")
    return {calls.attribute(handle, c.CKA_ID): label} if label.startswith(f"{_LABEL}/") else {}
