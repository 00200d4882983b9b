"""What the store keeps beside KMS keys, grants and identities, as plain records."""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from strongroom.audit.chain import KnownWriter
from strongroom.keys.arns import AliasLocator, KeyLocator
from strongroom.node_id import NodeId


class AccountRecord(msgspec.Struct, frozen=True):
    """An account served here. ``created_at`` in epoch seconds."""

    account: str
    created_at: float


class AccessKeyRecord(msgspec.Struct, frozen=True):
    """An access key; the secret is wrapped.

    ``principal`` is its owner: the unique id of a user, the ARN of an account's root, or a service's name, in
    which case ``account`` is empty. Times in epoch seconds.
    """

    access_key_id: str
    account: str
    principal: str
    wrapped_secret: bytes
    active: bool
    created_at: float
    last_used_at: float | None = None
    last_used_region: str | None = None
    last_used_service: str | None = None


class AccessKeyUse(msgspec.Struct, frozen=True):
    """One use of an access key. ``used_at`` in epoch seconds."""

    access_key_id: str
    used_at: float
    region: str
    service: str


class AliasRecord(msgspec.Struct, frozen=True):
    """An alias and the key it points to. Times in epoch seconds."""

    locator: AliasLocator
    key_id: str
    created_at: float
    updated_at: float


class KeyUse(msgspec.Struct, frozen=True, gc=False):
    """The last successful use of a key: its record in the audit log, and its request. ``used_at`` in epoch seconds."""

    locator: KeyLocator
    operation: str
    used_at: float
    event_id: str
    request_id: str


class AuditWriterRecord(msgspec.Struct, frozen=True):
    """A writer of the audit log, in the database of all nodes.

    ``node`` is None for a writer from before nodes had ids that no node has claimed yet. ``first_seen`` is in epoch
    seconds, None for writers from before that was kept.
    """

    writer: str
    node: NodeId | None
    first_seen: float | None
    known: KnownWriter


class GrantFilter(msgspec.Struct, frozen=True):
    """Which grants of a key; None does not limit. ``grantee`` is the name policies know it by."""

    grant_id: str | None = None
    grantee: str | None = None


class ChangeKind(StrEnum):
    """What a row of the change log is about."""

    KEY = "key"
    ALIAS = "alias"
    ACCESS_KEY = "access-key"
    ACCOUNT = "account"
    IDENTITY = "identity"
    """A user, group, role or policy; anything that follows from the account's identities may be different now."""
    GRANT = "grant"
    """``KEY_ID/GRANT_ID``; without a grant id, all of a key's grants are gone."""


class Change(msgspec.Struct, frozen=True):
    """One entry of the change log: the thing ``name`` is no longer what it was. ``region`` is empty for IAM's."""

    sequence: int
    kind: ChangeKind
    account: str
    region: str
    name: str


class Changes(msgspec.Struct, frozen=True):
    """What happened after a sequence number.

    ``complete`` is false when the log no longer reaches back that far; then everything may have changed.
    """

    entries: Sequence[Change]
    last: int
    complete: bool
