"""Accounts, users, groups, roles, policies, instance profiles, identity providers and access keys."""

from typing import Protocol, TypeVar

from strongroom.iam.entities import Entity, EntityKind, Relation
from strongroom.store.records import AccessKeyRecord, AccessKeyUse, AccountRecord

E = TypeVar("E", bound=Entity)


class IdentityReader(Protocol):
    """Reads of identities."""

    def accounts(self) -> list[AccountRecord]:
        """Return every account."""
        ...

    def account(self, account: str) -> AccountRecord | None:
        """Return an account."""
        ...

    def account_with_alias(self, alias: str) -> AccountRecord | None:
        """Return the account that has an alias."""
        ...

    def access_key_ids(self, account: str, principal: str) -> list[str]:
        """List the ids of the access keys of one principal, oldest first, also of those that are quarantined."""
        ...

    def services(self) -> list[str]:
        """List the services that have an access key, by name."""
        ...

    def access_key(self, access_key_id: str) -> AccessKeyRecord | None:
        """Return an access key, active or not."""
        ...

    def access_keys(self, account: str, principal: str) -> list[AccessKeyRecord]:
        """List the access keys of one principal, oldest first."""
        ...

    def entity(self, kind: type[E], account: str, name: str) -> E | None:
        """Return an entity by its name, which is not case-sensitive."""
        ...

    def entity_by_id(self, unique_id: str) -> Entity | None:
        """Return an entity by its unique id."""
        ...

    def entities(self, kind: type[E], account: str, path: str, after: str, limit: int) -> list[E]:
        """List entities of a kind whose path starts with ``path``, by name in lower case."""
        ...

    def linked(self, account: str, target: str) -> list[tuple[Relation, EntityKind, str]]:
        """List the references to a policy or role (by ARN) or a group (by name): relation, kind, name in lower case."""
        ...


class IdentityWriter(Protocol):
    """Writes of identities."""

    def add_account(self, record: AccountRecord) -> None:
        """Insert an account."""
        ...

    def save_account(self, record: AccountRecord) -> None:
        """Replace the alias and the password policy of an account."""
        ...

    def add_access_key(self, record: AccessKeyRecord, limit: int | None = None) -> bool:
        """Insert an access key; return False and write nothing if its principal has ``limit`` access keys already."""
        ...

    def set_access_key_active(self, record: AccessKeyRecord, *, active: bool) -> None:
        """Switch an access key on or off."""
        ...

    def remove_access_key(self, record: AccessKeyRecord) -> None:
        """Remove an access key."""
        ...

    def remove_access_keys(self, account: str, principal: str) -> None:
        """Remove all access keys of a principal, also those that are quarantined."""
        ...

    def note_access_key_use(self, use: AccessKeyUse, now: float) -> None:
        """Save when and for what an access key was last used, unless a later use is saved or the key does not exist.

        One that is a day later than ``now`` was noted by a clock that was ahead, and is replaced.
        """
        ...

    def put_entity(self, entity: Entity, before: Entity | None = None) -> None:
        """Insert an entity, or update the row of its version ``before``, which may have another name."""
        ...

    def remove_entity(self, entity: Entity) -> None:
        """Remove an entity."""
        ...
