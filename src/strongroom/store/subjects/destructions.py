"""What is erased from the database, and still has to be destroyed where a key back end keeps it.

A destruction is written in the transaction that erases. It is removed when the back end has destroyed the object.

One is also written before a back end makes an object that it keeps. The transaction in which something gets the object
removes it again. So what was made for a commit that never happened is destroyed too.
"""

from hashlib import sha256
from typing import Protocol, TypeAlias

import msgspec

from strongroom.crypto.material import MaterialBinding


class ErasedMaterial(msgspec.Struct, frozen=True, tag="key-material", omit_defaults=True):
    """Key material of a KMS key: the back end's token, what it belongs to, and its custom key store (None: default).

    It is ``uncommitted`` if it was made for a commit that may not have happened.
    """

    store_id: str | None
    token: bytes
    owner: MaterialBinding
    uncommitted: bool = False

    @property
    def object_id(self) -> str:
        """Identifies the object among all. The same material can be imported again, and then has another token."""
        return sha256(self.token).hexdigest()


class ErasedDomainKey(msgspec.Struct, frozen=True, tag="domain-key", omit_defaults=True):
    """What a version of a domain key had in the hardware token: the id of the object, in hex.

    It is ``uncommitted`` if it was made for a commit that may not have happened. Then the domain key of that version,
    if there is one, may have another object. It is ``shared`` if another deployment may need it: that whose backup was
    restored into this database. Then it must never be destroyed. Objects of seals are noted in this way too, with the
    scope of their label.
    """

    scope: str
    version: int
    object_id: str
    uncommitted: bool = False
    shared: bool = False


ErasedObject: TypeAlias = ErasedMaterial | ErasedDomainKey

COMMIT_TIME = 3600.0
"""How long after an object was announced the keeper leaves it to the process that makes it, in seconds."""


NEVER = 1e15
"""When the destruction of a shared object is due, in epoch seconds."""


class Destruction(msgspec.Struct, frozen=True, kw_only=True):
    """The work of destroying one object.

    The keeper begins it at ``due_at``, and began it first at ``since``; None before. Times are epoch seconds.
    """

    erased: ErasedObject
    due_at: float = 0.0
    since: float | None = None


class Backlog(msgspec.Struct, frozen=True):
    """How many destructions are left, and when the keeper began the oldest of them; None if it began none."""

    count: int
    since: float | None


class DestructionReader(Protocol):
    """Reads of destructions."""

    def destructions(self, now: float, limit: int) -> list[Destruction]:
        """List destructions that were due at ``now``, those first that have waited longest; no shared objects."""
        ...

    def object_destructions(self) -> list[Destruction]:
        """List all destructions of objects that domain keys had in the token, and the shared objects."""
        ...

    def destruction_backlog(self) -> Backlog:
        """Count the destructions."""
        ...

    def is_in_use(self, erased: ErasedObject) -> bool:
        """Tell whether the database still refers to an object: a key has its token, or a domain key its version.

        Of the domain key of an uncommitted object, only the one who opens it knows the object, so this is False.
        """
        ...


class DestructionWriter(Protocol):
    """Writes of destructions."""

    def add_destruction(self, erased: ErasedObject, due_at: float = 0.0) -> None:
        """Note that an object is to be destroyed, unless that is noted already. By default, it is due at once."""
        ...

    def withdraw_destruction(self, erased: ErasedObject, due_at: float) -> None:
        """Remove the destruction of an object that this transaction has given to something.

        Raises WriteConflict if the destruction was begun, or is not there any more: then the object may be gone.
        """
        ...

    def defer_destruction(self, before: Destruction, after: Destruction) -> bool:
        """Replace the times of a destruction; return False if another process has done so, or removed it.

        So of several processes, one begins it.
        """
        ...

    def remove_destruction(self, erased: ErasedObject) -> None:
        """Remove the destruction of an object, if it is there."""
        ...
