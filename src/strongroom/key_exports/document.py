"""The document that holds exported keys: JSON, with a version. Pure.

The members of a key are those of the KMS API, under AWS's own names where they are taken over as they are.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from strongroom.arns import known_arn
from strongroom.keys.specs import KeyManager, KeySpec, KeyUsage, Origin
from strongroom.keys.states import KeyState

VERSION = 1
MAX_SIZE = 256 * 1024 * 1024
"""The size of the largest document that is read, bytes."""


class ExportError(Exception):
    """A document cannot be used. The message is one line that says why."""


class ExportedGrant(
    msgspec.Struct, frozen=True, kw_only=True, rename="pascal", omit_defaults=True, forbid_unknown_fields=True
):
    """A grant, as ListGrants shows it. Its token is in no export, because no API shows it again.

    What is unknown could be what restricts it, so it is not passed over.
    """

    grant_id: str
    name: str = ""
    grantee_principal: str | None = None
    retiring_principal: str | None = None
    grantee_service_principal: str | None = None
    retiring_service_principal: str | None = None
    operations: tuple[str, ...] = ()
    constraints: dict[str, str | dict[str, str]] | None = None


class ExportedKey(msgspec.Struct, frozen=True, kw_only=True, rename="pascal", omit_defaults=True):
    """A KMS key. ``unread`` has what the service would not tell, each with the reason, by the member it belongs to."""

    arn: str
    key_manager: KeyManager = KeyManager.CUSTOMER
    key_spec: KeySpec
    key_usage: KeyUsage
    origin: Origin = Origin.AWS_KMS
    key_state: KeyState
    description: str = ""
    multi_region_key_type: Literal["PRIMARY", "REPLICA", ""] = ""
    primary_arn: str = ""
    policy: str | None = None
    tags: dict[str, str] = {}
    aliases: tuple[str, ...] = ()
    rotation_period_in_days: Annotated[int, Meta(ge=90, le=2560)] | None = None
    """The period of automatic rotation; None where it is off."""
    grants: tuple[ExportedGrant, ...] = ()
    unread: dict[str, str] = {}

    @property
    def key_id(self) -> str:
        """The key id."""
        return known_arn(self.arn).resource_id


class KeyExport(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """The keys of one account and Region."""

    strongroom_key_export: Annotated[int, Meta(ge=1)] = VERSION
    account: Annotated[str, Meta(pattern=r"\A[0-9]{12}\Z")]
    region: str
    keys: tuple[ExportedKey, ...]


def encode(export: KeyExport) -> bytes:
    """Return a document as JSON that a person can read."""
    return msgspec.json.format(msgspec.json.encode(export), indent=2) + b"\n"


def is_export(content: bytes) -> bool:
    """Tell whether a file has a document, of this version."""
    try:
        decode(content, "")
    except ExportError:
        return False
    return True


def decode(content: bytes, name: str) -> KeyExport:
    """Return the document in the content of a file called ``name``; raises ExportError."""
    try:
        export = msgspec.json.decode(content, type=KeyExport)
        for key in export.keys:
            known_arn(key.arn)
            if key.primary_arn:
                known_arn(key.primary_arn)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ExportError(f"`{name}` is no export of keys: {error}") from None
    except ValueError as error:
        raise ExportError(f"`{name}` is no export of keys: `{error}` is no ARN") from None
    if export.strongroom_key_export != VERSION:
        raise ExportError(
            f"`{name}` is of version {export.strongroom_key_export}, and this release reads version {VERSION}"
        )
    return export
