"""Whether what a session does not find is not there.

A search finds only what the session may see, and says OK: without a login, no private object (section 5.7,
C_FindObjectsInit). So a session that has lost its login misses all of them. With SoftHSM, so does one whose folder was
away for a moment. Both are told from a token without the object by *witnesses*: private keys that the connection has
seen when it was made. As long as a session sees one of them, it would see others.
"""

from collections.abc import Sequence

from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.calls import Calls
from strongroom.crypto.pkcs11.cryptoki import Attributes
from strongroom.crypto.pkcs11.return_codes import REFUSALS, CryptokiError, Kind

_PRIVATE: Attributes = {c.CKA_CLASS: c.CKO_SECRET_KEY, c.CKA_TOKEN: True, c.CKA_PRIVATE: True}
_ENOUGH = 8
"""Some may be destroyed later."""
_TRIED = 64


def witnesses_in(calls: Calls) -> Sequence[bytes]:
    """Return the ids of some private keys in a token, by a session of a new connection; raises CryptokiError.

    There are none if the token has none, or refuses to tell.
    """
    found: list[bytes] = []
    try:
        for handle in calls.find_objects(_PRIVATE, most=_TRIED)[:_TRIED]:
            each = _id_of(calls, handle)
            if each:
                found.append(each)
            if len(found) == _ENOUGH:
                break
    except CryptokiError as error:
        if error.kind not in REFUSALS:
            raise
    return found


def _id_of(calls: Calls, handle: int) -> bytes | None:
    """Return the id of an object; None if it has none, or another program has destroyed it since it was found."""
    try:
        return calls.attribute_or_none(handle, c.CKA_ID)
    except CryptokiError as error:
        if error.kind is not Kind.HANDLE:
            raise
        return None


def sees_any(calls: Calls, witnesses: Sequence[bytes]) -> bool:
    """Tell whether a session sees one of the witnesses of its connection; raises CryptokiError."""
    return any(calls.find_objects({**_PRIVATE, c.CKA_ID: each}) for each in witnesses)
