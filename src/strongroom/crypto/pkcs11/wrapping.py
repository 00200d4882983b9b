"""Domain keys in a token (root depth): AES-256 keys that never leave it, and what they wrap.

An envelope of such a key::

    offset  length
    0       1       version, 0x11
    1       4       version of the domain key, big-endian
    5       1       length of the initialization vector
    6       i       initialization vector, random (NIST SP 800-38D, 8.2.2): ours, or drawn by a token that insists on it
    6+i     n + 16  ciphertext and tag: AES-256-GCM, computed in the token

Tokens limit the length of additional authenticated data, so it is SHA-256 of the first five bytes and the binding.
"""

from hashlib import sha256

from strongroom.crypto.envelope import TOKEN_VERSION
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.calls import IvSource
from strongroom.crypto.pkcs11.connection import TokenSession
from strongroom.crypto.pkcs11.cryptoki import Attributes
from strongroom.crypto.pkcs11.return_codes import CryptokiError
from strongroom.crypto.pkcs11.token import Token
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.token_errors import TokenFaultError
from strongroom.entropy import Entropy

ID_LENGTH = 16
_IV_LENGTH = 12
_TAG_LENGTH = 16
_HEADER = 6
_LABEL = "strongroom"
OURS: Attributes = {c.CKA_CLASS: c.CKO_SECRET_KEY, c.CKA_TOKEN: True}


class TokenWrapper:
    """Wraps under a key in a token. Each use is a call of the token."""

    def __init__(self, token: Token, object_id: bytes, version: int, entropy: Entropy) -> None:
        self._token = token
        self._id = object_id
        self._prefix = bytes((TOKEN_VERSION,)) + version.to_bytes(4)
        self._entropy = entropy

    def wrap(self, plaintext: bytes, binding: bytes) -> bytes:
        """Return an envelope around ``plaintext``, bound to ``binding``; raises as ``Token.run``."""
        iv, bound_to = self._entropy(_IV_LENGTH), self._associated_data(binding)

        def work(session: TokenSession) -> bytes:
            source = session.known_answers.gcm or IvSource.OURS
            used, sealed = session.calls.seal_gcm(self._key(session), iv, bound_to, plaintext, source)
            return self._prefix + bytes((len(used),)) + used + sealed

        try:
            return self._token.run(work)
        except CryptokiError as error:
            raise TokenFaultError(str(error)) from None

    def unwrap(self, envelope: bytes, binding: bytes) -> bytes:
        """Return the content; raises UnsealError unless this key wrapped it for ``binding``, else as ``Token.run``."""
        start = _HEADER + (envelope[_HEADER - 1] if len(envelope) >= _HEADER else 0)
        if not envelope.startswith(self._prefix) or start == _HEADER or len(envelope) < start + _TAG_LENGTH:
            # A ciphertext without a tag ends the process with SoftHSM 2.6.1, and says nothing with others.
            raise UnsealError("not an envelope of this key")
        iv, ciphertext, bound_to = envelope[_HEADER:start], envelope[start:], self._associated_data(binding)

        def work(session: TokenSession) -> bytes:
            return session.calls.decrypt_gcm(self._key(session), iv, bound_to, ciphertext)

        try:
            return self._token.run(work)
        except CryptokiError:
            raise UnsealError("the envelope is damaged, or bound to something else") from None

    def _key(self, session: TokenSession) -> int:
        return session.find(self._id, {**OURS, c.CKA_ID: self._id})

    def _associated_data(self, binding: bytes) -> bytes:
        return sha256(self._prefix + binding).digest()


def create_wrapping_key(token: Token, object_id: bytes, scope: str, version: int) -> None:
    """Have a token make a domain key, which it can never give away; raises as ``Token.run``."""
    found = {**OURS, c.CKA_ID: object_id}
    made: Attributes = {
        **found,
        c.CKA_KEY_TYPE: c.CKK_AES,
        c.CKA_VALUE_LEN: 32,
        c.CKA_LABEL: label_of(scope, version).encode(),
        c.CKA_PRIVATE: True,
        c.CKA_SENSITIVE: True,
        c.CKA_EXTRACTABLE: False,
        c.CKA_ENCRYPT: True,
        c.CKA_DECRYPT: True,
        c.CKA_WRAP: False,
        c.CKA_UNWRAP: False,
        c.CKA_SIGN: False,
        c.CKA_VERIFY: False,
        c.CKA_DERIVE: False,
    }

    def work(session: TokenSession) -> None:
        # It may be run again after a connection was lost, and the first attempt may have succeeded.
        handles = session.calls.find_objects(found)
        handle = handles[0] if handles else session.calls.generate_key(made)
        for kind, expected in ((c.CKA_SENSITIVE, c.TRUE), (c.CKA_EXTRACTABLE, c.FALSE), (c.CKA_TOKEN, c.TRUE)):
            if session.calls.attribute(handle, kind) != expected:
                session.calls.destroy_object(handle)
                raise TokenFaultError("the token makes keys that it could give away, although it was told not to")

    try:
        token.run(work, patience=_MAKING)
    except CryptokiError as error:
        raise TokenFaultError(str(error)) from None


_MAKING = 30.0
"""Seconds that a token may take to make a key."""


def destroy_wrapping_key(token: Token, object_id: bytes) -> None:
    """Destroy a domain key in a token: nothing opens again what it has wrapped. Raises as ``Token.run``."""

    def work(session: TokenSession) -> None:
        for handle in session.calls.find_objects({**OURS, c.CKA_ID: object_id}):
            session.calls.destroy_object(handle)

    try:
        token.run(work)
    except CryptokiError as error:
        raise TokenFaultError(str(error)) from None


def label_of(scope: str, version: int) -> str:
    """Return the label of a domain key's object, for people."""
    return f"{_LABEL}/{scope}/{version}"


def wrapping_keys_in(token: Token) -> dict[bytes, str]:
    """Return the ids of all domain keys in a token, with their labels; raises as ``Token.run``."""

    def work(session: TokenSession) -> dict[bytes, str]:
        calls = session.calls
        labels = {
            calls.attribute(handle, c.CKA_ID): calls.attribute(handle, c.CKA_LABEL).decode(errors="replace")
            for handle in calls.find_objects({**OURS, c.CKA_KEY_TYPE: c.CKK_AES})
        }
        return {each: label for each, label in labels.items() if label.startswith(f"{_LABEL}/")}

    return token.run(work)
