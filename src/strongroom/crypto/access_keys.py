"""Access keys as AWS clients use them: a public id and a secret."""

import base64

import msgspec
from typing_extensions import override

from strongroom.entropy import Entropy


class NewAccessKey(msgspec.Struct, frozen=True):
    """A new access key. Its secret is returned once; the store keeps it wrapped."""

    access_key_id: str
    secret: str

    @override
    def __repr__(self) -> str:
        return f"NewAccessKey({self.access_key_id})"


def new_access_key(prefix: str, entropy: Entropy) -> NewAccessKey:
    """Return an access key: ``AKIA`` (long-term) or ``ASIA`` (temporary) and 16 characters; a secret of 240 bits."""
    return NewAccessKey(
        access_key_id=prefix + base64.b32encode(entropy(10)).decode(),
        secret=base64.b64encode(entropy(30)).decode(),
    )
