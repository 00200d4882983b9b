"""AES-256 keys that never leave a token: made, found, used for AES-GCM, and destroyed.

What such a key has encrypted::

    offset  length
    0       1       length of the initialization vector
    1       i       initialization vector, random (NIST SP 800-38D, 8.2.2): ours, or drawn by a token that insists on it
    1+i     n + 16  ciphertext and tag: AES-256-GCM, computed in the token
"""

from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.calls import IvSource
from strongroom.crypto.pkcs11.connection import TokenSession
from strongroom.crypto.pkcs11.cryptoki import Attributes
from strongroom.crypto.pkcs11.return_codes import CryptokiError
from strongroom.crypto.pkcs11.token import Token
from strongroom.crypto.token_errors import TokenFaultError
from strongroom.entropy import Entropy

_IV_LENGTH = 12
_TAG_LENGTH = 16
_MAKING = 30.0
"""Seconds that a token may take to make a key."""
OURS: Attributes = {c.CKA_CLASS: c.CKO_SECRET_KEY, c.CKA_TOKEN: True}
FOR_ENCRYPTION: Attributes = {c.CKA_ENCRYPT: True, c.CKA_DECRYPT: True, c.CKA_WRAP: False, c.CKA_UNWRAP: False}
FOR_WRAPPING: Attributes = {c.CKA_ENCRYPT: False, c.CKA_DECRYPT: False, c.CKA_WRAP: True, c.CKA_UNWRAP: True}
"""With both pairs, a key would read out whatever it has wrapped."""


class NotAuthenticError(Exception):
    """Bytes are nothing that the key has encrypted with these additional authenticated data."""


class TokenAesKey:
    """An AES-256 key in a token, by its id (CKA_ID) and perhaps its label. Each use is a call of the token.

    All methods raise as ``Token.run``, and TokenFaultError if the token refuses what it is asked.
    """

    def __init__(self, token: Token, object_id: bytes, label: str | None = None) -> None:
        """Name the key; an object with that id and another label is another one, unless ``label`` is None."""
        self._token = token
        self._id = object_id
        self._attributes: Attributes = {**OURS, c.CKA_ID: object_id}
        if label is not None:
            self._attributes[c.CKA_LABEL] = label.encode()

    def encrypt(self, plaintext: bytes, associated_data: bytes, entropy: Entropy) -> bytes:
        """Return what the key makes of ``plaintext``. Tokens limit additional authenticated data: use a digest."""
        iv = entropy(_IV_LENGTH)

        def work(session: TokenSession) -> bytes:
            source = session.known_answers.gcm or IvSource.OURS
            used, sealed = session.calls.seal_gcm(self._handle(session), iv, associated_data, plaintext, source)
            return bytes((len(used),)) + used + sealed

        try:
            return self._token.run(work)
        except CryptokiError as error:
            raise TokenFaultError(str(error)) from None

    def decrypt(self, encrypted: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext; raises NotAuthenticError unless all of it is authentic."""
        start = 1 + encrypted[0] if encrypted else 1
        if start == 1 or len(encrypted) < start + _TAG_LENGTH:
            # A ciphertext without a tag ends the process with SoftHSM 2.6.1, and says nothing with others.
            raise NotAuthenticError
        iv, ciphertext = encrypted[1:start], encrypted[start:]

        def work(session: TokenSession) -> bytes:
            return session.calls.decrypt_gcm(self._handle(session), iv, associated_data, ciphertext)

        try:
            return self._token.run(work)
        except CryptokiError:
            raise NotAuthenticError from None

    def create(self, label: str, use: Attributes = FOR_ENCRYPTION) -> None:
        """Have the token make the key, which it can never give away, unless it is there."""
        made: Attributes = {
            **self._attributes,
            c.CKA_KEY_TYPE: c.CKK_AES,
            c.CKA_VALUE_LEN: 32,
            c.CKA_LABEL: label.encode(),
            c.CKA_PRIVATE: True,
            c.CKA_SENSITIVE: True,
            c.CKA_EXTRACTABLE: False,
            c.CKA_SIGN: False,
            c.CKA_VERIFY: False,
            c.CKA_DERIVE: False,
            **use,
        }

        required = {c.CKA_SENSITIVE: c.TRUE, c.CKA_TOKEN: c.TRUE, c.CKA_EXTRACTABLE: c.FALSE}
        required |= {kind: c.FALSE for kind, value in use.items() if value is False}

        def work(session: TokenSession) -> None:
            # It may be run again after a connection was lost, and the first attempt may have succeeded.
            handles = session.calls.find_objects(self._attributes)
            handle = handles[0] if handles else session.calls.generate_key(made)
            for kind, expected in required.items():
                if session.calls.attribute(handle, kind) != expected:
                    if not handles:
                        session.calls.destroy_object(handle)
                    raise TokenFaultError("the token makes keys that it could give away, although it was told not to")

        try:
            self._token.run(work, patience=_MAKING)
        except CryptokiError as error:
            raise TokenFaultError(str(error)) from None

    def destroy(self) -> None:
        """Destroy the key, if it is there: nothing opens again what it has encrypted.

        What a session does not find may be hidden from it, so ``Token.search`` looks for it: the caller takes it for
        destroyed, and does not try again.
        """

        def work(session: TokenSession) -> int:
            handles = session.calls.find_objects(self._attributes)
            for handle in handles:
                session.calls.destroy_object(handle)
            return len(handles)

        try:
            self._token.search(work, bool)
        except CryptokiError as error:
            raise TokenFaultError(str(error)) from None

    def is_there(self, *, again: bool = True) -> bool:
        """Tell whether the token has the key.

        With ``again``, one that is not found is looked for on a new connection too, if need be (``Token.search``).
        """

        def work(session: TokenSession) -> bool:
            return bool(session.calls.find_objects(self._attributes))

        try:
            return self._token.search(work, bool) if again else self._token.run(work)
        except CryptokiError as error:
            raise TokenFaultError(str(error)) from None

    def _handle(self, session: TokenSession) -> int:
        return session.find(self._id, self._attributes)
