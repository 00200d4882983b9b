"""What the service asks of durable state.

A ``Store`` gives transactions and consistent reads; one SQL implementation serves SQLite and, later, PostgreSQL with
many nodes. Two rules make the in-memory view strictly consistent: a transaction that has committed is durable, and it
has left a row in the change log that every other reader can find with ``changes``.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from strongroom.audit.chain import KnownWriter
from strongroom.audit.sink import AuditMark
from strongroom.crypto.protocol import SealedDomainKey
from strongroom.iam.entities import Entity, EntityKind, Relation
from strongroom.keys.arns import AliasLocator, KeyLocator
from strongroom.keys.custom_key_stores import CustomKeyStore
from strongroom.keys.grants import Grant, Label
from strongroom.keys.kms_key import KmsKey
from strongroom.node_id import NodeId
from strongroom.store.records import (
    AccessKeyRecord,
    AccessKeyUse,
    AccountRecord,
    AliasRecord,
    AuditWriterRecord,
    Changes,
    GrantFilter,
    KeyUse,
)
from strongroom.store.scopes import Scope

E = TypeVar("E", bound=Entity)
T = TypeVar("T")


class Reader(Protocol):
    """Reads of one consistent state. Lists are ordered, start after ``after`` and hold at most ``limit`` entries."""

    def key(self, locator: KeyLocator) -> KmsKey | None:
        """Return a key with its materials, tags and aliases."""
        ...

    def customer_keys(self, account: str, region: str) -> int:
        """Count an account's customer managed keys in a Region."""
        ...

    def key_of_material(self, region: str, material_id: str) -> KeyLocator | None:
        """Return the key that a key material of this Region belongs to."""
        ...

    def alias(self, locator: AliasLocator) -> AliasRecord | None:
        """Return an alias."""
        ...

    def access_key(self, access_key_id: str) -> AccessKeyRecord | None:
        """Return an access key, active or not."""
        ...

    def access_keys(self, account: str, principal: str) -> list[AccessKeyRecord]:
        """List the access keys of one principal, oldest first."""
        ...

    def services(self) -> list[str]:
        """List the services that have an access key, by name."""
        ...

    def entity(self, kind: type[E], account: str, name: str) -> E | None:
        """Return a user, group, role or policy by its name, whatever its case."""
        ...

    def entity_by_id(self, unique_id: str) -> Entity | None:
        """Return an entity by its unique id."""
        ...

    def entities(self, kind: type[E], account: str, path: str, after: str, limit: int) -> list[E]:
        """List entities of a kind whose path starts with ``path``, by name in lower case."""
        ...

    def linked(self, account: str, target: str) -> list[tuple[Relation, EntityKind, str]]:
        """List who refers to a policy (by ARN) or to a group (by name): relation, kind, name in lower case."""
        ...

    def grant(self, locator: KeyLocator, grant_id: str) -> Grant | None:
        """Return a grant."""
        ...

    def labels_of_grants_to(self, locator: KeyLocator, grantee: str) -> set[Label]:
        """Return the labels of the grants on a key to one grantee, by the name policies know it by.

        Without WHATEVER_CONTEXT, under which there may be grants too.
        """
        ...

    def grants_to(self, locator: KeyLocator, grantee: str, label: Label, after: str, limit: int) -> list[Grant]:
        """List the grants on a key to one grantee that have a label, by grant id."""
        ...

    def grants_named(self, locator: KeyLocator, name: str) -> list[Grant]:
        """List the grants on a key that bear a name."""
        ...

    def count_grants(self, locator: KeyLocator) -> int:
        """Return how many grants a key has."""
        ...

    def grants(self, locator: KeyLocator, which: GrantFilter, after: str, limit: int) -> list[Grant]:
        """List a key's grants by grant id."""
        ...

    def retirable_grants(self, region: str, retiring: str, after: str, limit: int) -> list[Grant]:
        """List the grants in a Region that a principal may retire, ``after`` one named ``GRANT_ID/KEY_ID``."""
        ...

    def key_use(self, locator: KeyLocator) -> KeyUse | None:
        """Return the last use of a key that was written down."""
        ...

    def custom_key_store(self, account: str, region: str, store_id: str) -> CustomKeyStore | None:
        """Return a custom key store."""
        ...

    def custom_key_stores(self, account: str, region: str) -> list[CustomKeyStore]:
        """List an account's custom key stores in a Region, by id; there are few."""
        ...

    def has_keys_in(self, store_id: str) -> bool:
        """Tell whether a custom key store holds keys."""
        ...

    def accounts(self) -> list[AccountRecord]:
        """Return every account."""
        ...

    def domain_keys(self) -> list[SealedDomainKey]:
        """Return every domain key, sealed."""
        ...

    def audit_key(self) -> bytes | None:
        """Return the secret of the audit key, wrapped."""
        ...

    def audit_marks(self) -> Sequence[AuditMark]:
        """Return up to where each writer has written down what its part of the audit log tells of uses."""
        ...

    def audit_writers(self) -> dict[str, KnownWriter]:
        """Return what is known of each writer of the audit log, of all nodes."""
        ...

    def audit_writer_records(self) -> list[AuditWriterRecord]:
        """Return each writer of the audit log with its node, by name."""
        ...

    def keys(self, account: str, region: str, after: str, limit: int) -> list[KeyLocator]:
        """List keys by key id."""
        ...

    def aliases(self, account: str, region: str, key_id: str | None, after: str, limit: int) -> list[AliasRecord]:
        """List aliases by name; of one key when ``key_id`` is given."""
        ...

    def keys_to_rotate(self, now: float, limit: int) -> list[KeyLocator]:
        """List keys whose automatic rotation was due at ``now``, most overdue first."""
        ...

    def keys_with_expired_material(self, now: float, limit: int) -> list[KeyLocator]:
        """List keys with imported material that had expired at ``now``, first expired first."""
        ...

    def keys_to_delete(self, now: float, limit: int) -> list[KeyLocator]:
        """List keys whose waiting period was over at ``now``, most overdue first."""
        ...


class Transaction(Reader, Protocol):
    """Writes that become durable together, or not at all."""

    def add_account(self, record: AccountRecord) -> None:
        """Insert an account."""
        ...

    def add_access_key(self, record: AccessKeyRecord) -> None:
        """Insert an access key."""
        ...

    def set_access_key_active(self, record: AccessKeyRecord, *, active: bool) -> None:
        """Switch an access key on or off."""
        ...

    def remove_access_key(self, record: AccessKeyRecord) -> None:
        """Remove an access key."""
        ...

    def note_access_key_use(self, use: AccessKeyUse) -> None:
        """Write down when and for what an access key was last used."""
        ...

    def put_entity(self, entity: Entity, before: Entity | None = None) -> None:
        """Insert an entity, or put it in the place of what it was before, which may have had another name."""
        ...

    def remove_entity(self, entity: Entity) -> None:
        """Remove an entity."""
        ...

    def add_grant(self, grant: Grant) -> None:
        """Insert a grant."""
        ...

    def remove_grant(self, grant: Grant) -> None:
        """Remove a grant."""
        ...

    def add_domain_key(self, record: SealedDomainKey) -> None:
        """Insert a domain key."""
        ...

    def add_audit_key(self, wrapped_secret: bytes) -> None:
        """Insert the audit key."""
        ...

    def put_audit_mark(self, mark: AuditMark) -> None:
        """Put a writer's mark in the place of its last one."""
        ...

    def put_audit_writer(self, writer: str, known: KnownWriter, now: float) -> None:
        """Put what is known of a writer in the place of what was known. A new one was first seen ``now``."""
        ...

    def claim_audit_writers(self, node: NodeId) -> None:
        """Make a node the owner of every writer that has none."""
        ...

    def add_key(self, key: KmsKey) -> None:
        """Insert a key with its materials and tags."""
        ...

    def save_key(self, before: KmsKey, after: KmsKey) -> None:
        """Write what differs between two versions of a key: its row, materials and tags; never its aliases."""
        ...

    def erase_key(self, key: KmsKey) -> None:
        """Remove a key with its materials, tags and aliases."""
        ...

    def note_key_uses(self, uses: Sequence[KeyUse]) -> None:
        """Write down the last use of each of some keys, unless a later one is there or the key is gone."""
        ...

    def put_custom_key_store(self, store: CustomKeyStore) -> None:
        """Insert a custom key store, or replace the one of its id."""
        ...

    def remove_custom_key_store(self, store: CustomKeyStore) -> None:
        """Remove a custom key store."""
        ...

    def put_alias(self, record: AliasRecord, previous_key_id: str | None) -> None:
        """Insert an alias, or move it from ``previous_key_id``."""
        ...

    def remove_alias(self, record: AliasRecord) -> None:
        """Remove an alias."""
        ...


class Readable(Protocol):
    """Durable state, as far as it can be read."""

    def read(self) -> AbstractContextManager[Reader]:
        """Open a consistent read."""
        ...


class Store(Readable, Protocol):
    """Durable state. Safe to use from several threads."""

    def write(self, act: Callable[[Transaction], T], *scopes: Scope) -> T:
        """Run ``act`` in a write transaction; return its result once that is durable.

        ``act`` may be run again from its start, so it must have no effect but through the transaction and its result.
        What it raises undoes the transaction. Raises DependencyTimeoutException when the database does not answer or
        cannot write, and its subclass WriteOutcomeUnknown when the commit may or may not have happened.
        """
        ...

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Open the only write transaction; durable when the ``with`` statement ends, undone when its block raises.

        It may see what others have written that becomes durable together with it, or not at all.

        Raises DependencyTimeoutException when the database does not answer or cannot write.
        """
        ...

    def version(self) -> bytes:
        """Return what differs from the last call's after any commit that was answered, by whichever process; cheap."""
        ...

    def confirm(self) -> None:
        """Find out whether this is still the state that everybody shares; if not, ``version`` fails from now on."""
        ...

    def changes(self, after: int) -> Changes:
        """Return the change log after a sequence number."""
        ...

    def scrub(self) -> bool:
        """Leave nothing of erased key material in free pages or logs; false when readers are in the way.

        Does nothing when nothing was erased since it last succeeded; tried again and again, it succeeds one day.
        """
        ...

    def trim_changes(self, keep: int) -> None:
        """Forget all but the newest ``keep`` entries of the change log."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...
