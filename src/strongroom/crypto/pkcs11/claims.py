"""What the tokens of this process are used for. A login is the process's, so one token must not serve two uses."""

import threading

from strongroom.crypto.pkcs11.connection import TokenName

_claimed: dict[TokenName, dict[int, str]] = {}
_lock = threading.Lock()


def claim(token: TokenName, owner: object, use: str) -> str | None:
    """Claim a token for a use; return the other use that it has, or None if it is claimed now.

    Owners with the same use share it.
    """
    with _lock:
        claimed = _claimed.setdefault(token, {})
        for other in claimed.values():
            if other != use:
                return other
        claimed[id(owner)] = use
        return None


def release(owner: object) -> None:
    """End the claims of an owner."""
    with _lock:
        for token, claimed in list(_claimed.items()):
            claimed.pop(id(owner), None)
            if not claimed:
                del _claimed[token]
