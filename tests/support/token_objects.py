"""Looks at what is in a hardware token, as no part of the service does."""

from ctypes import create_string_buffer

from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.connection import TokenSession
from strongroom.crypto.pkcs11.module import Module
from strongroom.crypto.pkcs11.return_codes import CryptokiError

_LENGTH_OF_SESSION_INFO = 32


def ids_of_secret_keys(session: TokenSession) -> list[bytes]:
    """Return the ids of the secret keys that stay in the token, those of other programs too."""
    calls = session.calls
    handles = calls.find_objects({c.CKA_CLASS: c.CKO_SECRET_KEY, c.CKA_TOKEN: True})
    return [calls.attribute(handle, c.CKA_ID) for handle in handles]


def is_open(module: Module, session: int) -> bool:
    """Tell whether a session has not ended."""
    try:
        module.functions.call("GetSessionInfo", session, create_string_buffer(_LENGTH_OF_SESSION_INFO))
    except CryptokiError:
        return False
    return True
