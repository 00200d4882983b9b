"""Plain records of what the store keeps beside KMS keys, grants and identities."""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from strongroom.audit.chain import KnownWriter
from strongroom.keys.arns import AliasLocator, KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.node_id import NodeId


class PasswordPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What an account asks of its users' passwords: kept as data, because users have no passwords here.

    The defaults are those of UpdateAccountPasswordPolicy. ``max_age_days`` is None where passwords do not expire.
    """

    minimum_length: int = 6
    require_symbols: bool = False
    require_numbers: bool = False
    require_uppercase: bool = False
    require_lowercase: bool = False
    users_may_change: bool = False
    max_age_days: int | None = None
    reuse_prevention: int | None = None
    hard_expiry: bool | None = None


class AccountRecord(msgspec.Struct, frozen=True):
    """An account of this service. ``created_at`` is in epoch seconds; no two accounts have the same ``alias``."""

    account: str
    created_at: float
    alias: str | None = None
    password_policy: PasswordPolicy | None = None


class DamagedKey(msgspec.Struct, frozen=True):
    """A KMS key of which a record is damaged or missing, so that no call can use all of it.

    ``intact`` is the key without its damaged materials, if its own record is as this service wrote it. Otherwise the
    end of its waiting period, epoch seconds, and its primary Region are what the damaged record says: None or empty if
    it says nothing that could be so.
    """

    locator: KeyLocator
    intact: KmsKey | None = None
    deletion_at: float | None = None
    primary_region: str = ""


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
    """One use of an access key. ``used_at`` is in epoch seconds."""

    access_key_id: str
    used_at: float
    region: str
    service: str


class PrincipalUse(msgspec.Struct, frozen=True):
    """The last use of a service by a user or role, and the Region of that call. ``used_at`` is in epoch seconds."""

    unique_id: str
    service: str
    used_at: float
    region: str


class CredentialReport(msgspec.Struct, frozen=True):
    """A credential report: its text, CSV in UTF-8. ``generated_at`` is in epoch seconds."""

    account: str
    generated_at: float
    content: bytes


class LastAccessedJob(msgspec.Struct, frozen=True):
    """A job that reports when a user, group, role or policy was last used. ``created_at`` is in epoch seconds.

    ``subject`` is its unique id; the ARN for an AWS managed policy. ``granularity`` is what was asked for.
    """

    job_id: str
    account: str
    subject: str
    granularity: str
    created_at: float


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


class ListedKey(msgspec.Struct, frozen=True, gc=False):
    """A key in a list of all keys. ``key`` is None if its record is damaged.

    ``use`` is its last use that was saved, and ``grants`` how many grants it has.
    """

    locator: KeyLocator
    key: KmsKey | None
    use: KeyUse | None
    grants: int


class AuditWriterRecord(msgspec.Struct, frozen=True):
    """A writer of the audit log, in the database of all nodes.

    ``node`` is None for a writer from before nodes had ids that no node has claimed yet. ``first_seen`` is in epoch
    seconds, None for writers from before that was kept.
    """

    writer: str
    node: NodeId | None
    first_seen: float | None
    known: KnownWriter


class MemberRecord(msgspec.Struct, frozen=True):
    """A node that may serve the database, and how many worker processes it has.

    ``is_alive`` tells whether it has renewed its lease for as long as that may run, by the clock of the database.
    ``release``, ``listen`` and ``regions`` are what it says of itself. ``lease`` is in seconds, and so is how long ago
    it has ``joined``, and has ``renewed`` the lease. ``behind`` is how many of the newest changes it has not
    acknowledged, and ``acked`` the number of the newest one that it has.
    """

    node: NodeId
    workers: int
    is_alive: bool
    release: str = ""
    listen: str = ""
    regions: Sequence[str] = ()
    lease: float = 0.0
    joined: float = 0.0
    renewed: float = 0.0
    behind: int = 0
    acked: int = 0


class RetiredNode(msgspec.Struct, frozen=True):
    """A node that was lost with its disk, and never writes again; ``stated_by`` is the audit writer that states it."""

    node: NodeId
    retired_at: float
    stated_by: str


class GrantFilter(msgspec.Struct, frozen=True):
    """A filter for the grants of a key; None does not limit. ``grantee`` is the name by which policies refer to it."""

    grant_id: str | None = None
    grantee: str | None = None


class ChangeKind(StrEnum):
    """The kind of thing that a row of the change log names."""

    KEY = "key"
    ALIAS = "alias"
    ACCESS_KEY = "access-key"
    ACCOUNT = "account"
    IDENTITY = "identity"
    """A user, group, role, policy, instance profile or identity provider.

    Everything cached that depends on the account's identities may have changed.
    """
    GRANT = "grant"
    """``KEY_ID/GRANT_ID``; without a grant id, all grants of the key were removed."""
    XKS_PROXY = "xks-proxy"
    """The prefix of a proxy: it, a credential of it, or a key that it gives out was changed."""
    CUSTOM_KEY_STORE = "key-store"
    """These are not cached. They are logged because every acknowledged change is counted by its number."""
    DOMAIN_KEY = "domain-key"
    """A domain key, by its scope. Each process has all of them."""


class Change(msgspec.Struct, frozen=True):
    """One entry of the change log: ``name`` was changed or removed. ``region`` is empty for IAM's entities."""

    sequence: int
    kind: ChangeKind
    account: str
    region: str
    name: str


class Changes(msgspec.Struct, frozen=True):
    """The changes after a sequence number.

    ``complete`` is False if older ones of them were trimmed from the log. Then everything may have changed.
    """

    entries: Sequence[Change]
    last: int
    complete: bool
