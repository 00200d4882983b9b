"""Key encryption keys: new ones are tried before anything depends on them, and trials of keys have their own."""

from strongroom.crypto.envelope import KEY_LENGTH
from strongroom.crypto.hsm.kinds import kinds_of_keys
from strongroom.crypto.hsm.wrapped_keys import KeyNotKeptError, wrap_key
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.aes_keys import FOR_WRAPPING
from strongroom.crypto.pkcs11.connection import TokenSession
from strongroom.crypto.pkcs11.cryptoki import Attributes
from strongroom.crypto.pkcs11.return_codes import CryptokiError
from strongroom.crypto.pkcs11.token import Token
from strongroom.crypto.pkcs11.wrapping import key_encryption_key
from strongroom.crypto.token_errors import TokenFaultError
from strongroom.keys.specs import KeySpec

TEMPORARY: Attributes = {
    c.CKA_CLASS: c.CKO_SECRET_KEY,
    c.CKA_KEY_TYPE: c.CKK_AES,
    c.CKA_TOKEN: False,
    c.CKA_PRIVATE: True,
    c.CKA_SENSITIVE: True,
    c.CKA_EXTRACTABLE: False,
    c.CKA_VALUE_LEN: KEY_LENGTH,
    **FOR_WRAPPING,
}
"""The attributes of a session object that wraps for a trial."""


def try_key_encryption_key(token: Token, object_id: bytes) -> None:
    """Wrap a new symmetric key, unwrap it and compare; the token keeps neither.

    Raises TokenFaultError if another key comes back, and else as ``Token.run``.
    """
    kind = kinds_of_keys(bytes)[KeySpec.SYMMETRIC_DEFAULT]

    def work(session: TokenSession) -> None:
        made = kind.generate(session.calls)
        try:
            wrap_key(session, key_encryption_key(session, object_id), kind, made)
        finally:
            session.calls.destroy_object(made.handle)

    try:
        token.run(work)
    except (CryptokiError, KeyNotKeptError) as error:
        raise TokenFaultError(str(error)) from None
