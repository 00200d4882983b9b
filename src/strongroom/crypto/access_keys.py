"""Access keys as AWS clients use them: a public id and a secret."""

import base64

import msgspec
from typing_extensions import override

from strongroom.entropy import Entropy

_ID_LENGTH = 20
_PREFIX_LENGTH = 4
_ID_BYTES = 10
# The number that the 16 characters spell has 80 bits: a one, the account in 40, and 39 random ones.
_MARK = 1 << 79
_ACCOUNT_SHIFT = 39
_ACCOUNT_BITS = 40
_RANDOM_BITS = (1 << _ACCOUNT_SHIFT) - 1


class NewAccessKey(msgspec.Struct, frozen=True):
    """A new access key. Its secret is returned once; the store keeps it wrapped."""

    access_key_id: str
    secret: str

    @override
    def __repr__(self) -> str:
        return f"NewAccessKey({self.access_key_id})"


def new_access_key(prefix: str, entropy: Entropy, account: str = "") -> NewAccessKey:
    """Return an access key: ``AKIA`` (long-term) or ``ASIA`` (temporary) and 16 characters; a secret of 240 bits.

    As on AWS, the id names the account, so that ``account_in_id`` finds it without a store. The key of a service has
    none.
    """
    raw = entropy(_ID_BYTES)
    if account:
        number = _MARK | int(account) << _ACCOUNT_SHIFT | int.from_bytes(raw) & _RANDOM_BITS
        raw = number.to_bytes(_ID_BYTES)
    return NewAccessKey(
        access_key_id=prefix + base64.b32encode(raw).decode(),
        secret=base64.b64encode(entropy(30)).decode(),
    )


def account_in_id(access_key_id: str) -> str | None:
    """Return the account, 12 digits, that an access key id names; None if it names none.

    It proves nothing: anybody can make up such an id.
    """
    if len(access_key_id) != _ID_LENGTH:
        return None
    try:
        number = int.from_bytes(base64.b32decode(access_key_id[_PREFIX_LENGTH:]))
    except ValueError:
        return None
    return f"{number >> _ACCOUNT_SHIFT & ((1 << _ACCOUNT_BITS) - 1):012}" if number & _MARK else None
