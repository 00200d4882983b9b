"""The tags of CreateKey with which LocalStack lets a caller choose a key's id and material.

Source: LocalStack, "Key Management Service", and its ``services/kms/models.py``. ``_custom_id_`` is the key id; it
stays a tag. ``_custom_key_material_`` is the key material in base64: the bytes of a secret key, or a private key in
DER. It is taken out of the tags, so that it is in no record and in no answer.
"""

import base64
import binascii
import re
from typing import Annotated

from msgspec import Meta

from strongroom.crypto.software.given_keys import given_private_key
from strongroom.entropy import uuid
from strongroom.errors import ValidationException
from strongroom.keys.arns import MULTI_REGION_PREFIX
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import KeySpec, Origin
from strongroom.operations.context import Context
from strongroom.operations.kms.create_key import CreateKeyRequest, CreateKeyResponse, Given, create_key, create_key_as
from strongroom.operations.kms.key_material import OwnedToken
from strongroom.operations.shapes import SENSITIVE, Tag
from strongroom.seeds.given_material import keep_given

CUSTOM_ID, CUSTOM_KEY_MATERIAL = "_custom_id_", "_custom_key_material_"
_MAX_TAG_VALUE = 256
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MULTI_REGION_ID = re.compile(rf"{MULTI_REGION_PREFIX}[0-9a-f]{{32}}")


class LongTag(Tag, rename="pascal", frozen=True):
    """A tag whose value may be a private key, which is longer than the value of a tag that is kept."""

    tag_value: str


class TaggedCreateKeyRequest(CreateKeyRequest):
    """The request of CreateKey, with key material that was in a tag (base64)."""

    # Tags that are read only, so a list of a subclass does no harm.
    tags: Annotated[list[LongTag], Meta(max_length=1000)] | None = None  # type: ignore[assignment]
    custom_key_material: Annotated[str, SENSITIVE] | None = None

    def __post_init__(self) -> None:
        """Take the key material out of the tags, before anything is done with them."""
        for tag in self.tags or ():
            if tag.tag_key == CUSTOM_KEY_MATERIAL:
                self.custom_key_material = tag.tag_value
        if self.tags is not None:
            self.tags = [tag for tag in self.tags if tag.tag_key != CUSTOM_KEY_MATERIAL]


def create_key_by_tags(context: Context, request: TaggedCreateKeyRequest) -> CreateKeyResponse:
    """Make a key with the id and the material that its tags ask for, and without such tags as CreateKey does.

    Raises ValidationException for a key id that AWS could not have made, for material that is not of the key's spec,
    and for material of a key whose Origin is not AWS_KMS; AlreadyExistsException for a key id that is taken.
    """
    custom_id = _custom_id(request)
    text = request.custom_key_material
    if custom_id is None and text is None:
        return create_key(context, request)
    if text is not None and request.origin is not Origin.AWS_KMS:
        raise ValidationException(f"{CUSTOM_KEY_MATERIAL} is for keys of Origin AWS_KMS only.")
    material = None if text is None else _decoded(text)

    def supply(key: KmsKey) -> OwnedToken:
        given = _as_kept(material or b"", key.spec)
        return keep_given(context.backends.key_backends, given, key.locator, key.spec)

    random_id = uuid(context.backends.entropy)
    new_id = MULTI_REGION_PREFIX + random_id.replace("-", "") if request.multi_region else random_id
    return create_key_as(context, request, Given(custom_id or new_id, None if material is None else supply))


def _custom_id(request: TaggedCreateKeyRequest) -> str | None:
    found: str | None = None
    for number, tag in enumerate(request.tags or (), 1):
        if len(tag.tag_value) > _MAX_TAG_VALUE:
            raise ValidationException(
                f"1 validation error detected: Value at 'tags.{number}.member.tagValue' failed to satisfy constraint: "
                f"Member must have length less than or equal to {_MAX_TAG_VALUE}"
            )
        if tag.tag_key == CUSTOM_ID:
            found = tag.tag_value.strip()
    pattern = _MULTI_REGION_ID if request.multi_region else _UUID
    if found is not None and not pattern.fullmatch(found):
        form = f"{MULTI_REGION_PREFIX} and 32 hex digits" if request.multi_region else "a UUID in lower case"
        raise ValidationException(f"{CUSTOM_ID} must be {form}, as the key ids of AWS are.")
    return found


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise ValidationException(f"{CUSTOM_KEY_MATERIAL} is not base64.") from None


def _as_kept(material: bytes, spec: KeySpec) -> bytes:
    """Return material in the form in which a back end takes it; raises ValidationException if it is of another spec."""
    if not spec.startswith(("RSA", "ECC")):
        return material
    try:
        found, pkcs8 = given_private_key(material)
    except ValueError as error:
        raise ValidationException(f"{CUSTOM_KEY_MATERIAL}: {error}.") from None
    if found is not spec:
        raise ValidationException(f"{CUSTOM_KEY_MATERIAL} is a key of spec {found}, not {spec}.")
    return pkcs8
