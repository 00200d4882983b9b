"""Decrypts with one KMS and encrypts with another, through the APIs of both."""

import hmac
from collections.abc import Mapping
from typing import Any

import msgspec

from strongroom.aws_clients import AwsError, AwsPlace, readable_refusals
from strongroom.reencryption.items import ItemError

_KEY_PLACEHOLDER = "{key}"
_ABOUT_ONE_ITEM = frozenset(
    {
        "InvalidCiphertextException",
        "IncorrectKeyException",
        "AccessDeniedException",
        "ValidationException",
        "NotFoundException",
        "DisabledException",
        "KMSInvalidStateException",
        "KeyUnavailableException",
        "InvalidKeyUsageException",
    }
)
"""The refusals that may be of one ciphertext alone. After any other, the next one would fail in the same way."""


class Side(msgspec.Struct, frozen=True):
    """One of the two services: its client, its place, its key, and the encryption context of its ciphertexts.

    Without a key, the ciphertext says which. ``{key}`` in a value of the context stands for the item's key.
    """

    client: Any
    place: AwsPlace
    key_id: str | None
    context: Mapping[str, str]

    def request(self, item_key: str) -> dict[str, Any]:
        """Return the members that all calls for an item have; raises ItemError."""
        members: dict[str, Any] = {}
        if self.key_id is not None:
            members["KeyId"] = self.key_id
        if self.context:
            members["EncryptionContext"] = {
                name: _utf8(value.replace(_KEY_PLACEHOLDER, item_key)) for name, value in self.context.items()
            }
        return members


def reencrypt(blob: bytes, item_key: str, source: Side, destination: Side) -> bytes:
    """Return a new ciphertext for the plaintext of ``blob``, which the destination has decrypted again.

    Raises ItemError if one of the services refuses this item, and AwsError if it does not answer or refuses all.
    """
    plaintext = _call(source, "decrypt", CiphertextBlob=blob, **source.request(item_key))["Plaintext"]
    made = _call(destination, "encrypt", Plaintext=plaintext, **destination.request(item_key))["CiphertextBlob"]
    again = _call(destination, "decrypt", CiphertextBlob=made, **destination.request(item_key))["Plaintext"]
    if not hmac.compare_digest(plaintext, again):
        raise ItemError(f"{destination.place.name} does not decrypt its own ciphertext to what was encrypted")
    return bytes(made)


def _utf8(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ItemError("its name is not UTF-8, so it can be in no encryption context") from None
    return text


def _call(side: Side, operation: str, **members: object) -> dict[str, Any]:
    try:
        with readable_refusals(side.place):
            method = {"decrypt": side.client.decrypt, "encrypt": side.client.encrypt}[operation]
            answer: dict[str, Any] = method(**members)
    except AwsError as error:
        if error.code in _ABOUT_ONE_ITEM:
            raise ItemError(str(error)) from None
        raise
    return answer
