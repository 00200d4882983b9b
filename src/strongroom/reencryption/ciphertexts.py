"""Decrypts with one KMS and encrypts with another, through the APIs of both."""

import hmac
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from strongroom.aws_clients import AwsError, AwsPlace, readable_refusals
from strongroom.reencryption.items import ItemError

_KEY_PLACEHOLDER = "{key}"
_OF_THE_CIPHERTEXT = frozenset(
    {"InvalidCiphertextException", "IncorrectKeyException", "AccessDeniedException", "ValidationException"}
)
"""The refusals of Decrypt that may be of one ciphertext alone."""
_OF_ITS_KEY = frozenset(
    {
        "NotFoundException",
        "DisabledException",
        "KMSInvalidStateException",
        "KeyUnavailableException",
        "InvalidKeyUsageException",
    }
)
"""Those that may be of one ciphertext alone if each has a key of its own."""
_OF_THE_PLAINTEXT = frozenset({"ValidationException"})
"""The refusals of the new key that may be of one plaintext alone: it may be too long for an RSA key."""


class Side(msgspec.Struct, frozen=True):
    """One of the two services: its client, its place, its key, and the encryption context of its ciphertexts.

    Without a key, the ciphertext says which. ``{key}`` in a value of the context stands for the item's key.
    """

    client: Any
    place: AwsPlace
    key_id: str | None
    context: Mapping[str, str]

    def encrypts_for_all(self, code: str) -> bool:
        """Tell whether a refusal of a call with the new key would be the same for any other item."""
        by_item = any(_KEY_PLACEHOLDER in value for value in self.context.values())
        # A policy may have conditions for the encryption context.
        return code not in _OF_THE_PLAINTEXT and not (by_item and code == "AccessDeniedException")

    def decrypts_for_all(self, code: str) -> bool:
        """Tell whether a refusal of Decrypt with the old key would be the same for any other item."""
        return code not in _OF_THE_CIPHERTEXT and (self.key_id is not None or code not in _OF_ITS_KEY)

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
    old, new = source.request(item_key), destination.request(item_key)
    with _refusals(source.place, source.decrypts_for_all):
        plaintext = source.client.decrypt(CiphertextBlob=blob, **old)["Plaintext"]
    with _refusals(destination.place, destination.encrypts_for_all):
        made = destination.client.encrypt(Plaintext=plaintext, **new)["CiphertextBlob"]
        again = destination.client.decrypt(CiphertextBlob=made, **new)["Plaintext"]
    if not hmac.compare_digest(plaintext, again):
        raise ItemError(f"{destination.place.name} does not decrypt its own ciphertext to what was encrypted")
    return bytes(made)


def _utf8(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ItemError("its name is not UTF-8, so it can be in no encryption context") from None
    return text


@contextmanager
def _refusals(place: AwsPlace, are_for_all: Callable[[str], bool]) -> Iterator[None]:
    try:
        with readable_refusals(place):
            yield
    except AwsError as error:
        if not error.code or are_for_all(error.code):
            raise
        raise ItemError(str(error)) from None
