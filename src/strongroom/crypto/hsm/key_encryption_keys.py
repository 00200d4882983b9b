"""Key encryption keys that were just made are tried before anything depends on them."""

from strongroom.crypto.hsm.kinds import kinds_of_keys
from strongroom.crypto.hsm.wrapped_keys import KeyNotKeptError, KeyWrap
from strongroom.crypto.pkcs11.connection import TokenSession
from strongroom.crypto.pkcs11.return_codes import CryptokiError
from strongroom.crypto.pkcs11.token import Token
from strongroom.crypto.pkcs11.wrapping import key_encryption_key
from strongroom.crypto.token_errors import TokenFaultError
from strongroom.keys.specs import KeySpec


def try_key_encryption_key(token: Token, object_id: bytes) -> None:
    """Wrap a new symmetric key, unwrap it and compare; the token keeps neither.

    Raises TokenFaultError if another key comes back, and else as ``Token.run``.
    """
    kind = kinds_of_keys(bytes)[KeySpec.SYMMETRIC_DEFAULT]

    def work(session: TokenSession) -> None:
        made = kind.generate(session.calls)
        try:
            KeyWrap(None).wrap(session, key_encryption_key(session, object_id), kind, made)
        finally:
            session.calls.destroy_object(made.handle)

    try:
        token.run(work)
    except (CryptokiError, KeyNotKeptError) as error:
        raise TokenFaultError(str(error)) from None
