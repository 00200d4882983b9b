"""Finds out which nodes live, for what may only be done when none of them does.

The time of day does not tell. A node lives if it renews its lease; if it has not done so for as long as its lease may
run, it has none.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec
from sqlalchemy import Connection, Engine, delete, exists, func, select, tuple_

from strongroom.store.leases.bounds import lease_of_row, over_everywhere
from strongroom.store.postgresql.schema import granted_lease, member

_LOOK = 0.25
"""The time between two looks at the members, seconds."""

LEASE = func.greatest(member.c.lease, granted_lease.c.lease)
"""The lease of a member, of whose two rows a person may have changed one."""

WITH_LEASES = member.outerjoin(
    granted_lease, (member.c.node == granted_lease.c.node) & (member.c.incarnation == granted_lease.c.incarnation)
)
"""What has it."""

_MEMBERS = select(
    member.c.node, member.c.release, member.c.schema, member.c.incarnation, member.c.renewed, LEASE
).select_from(WITH_LEASES)

_IS_DELETED = ~exists().where(
    member.c.node == granted_lease.c.node, member.c.incarnation == granted_lease.c.incarnation
)
# Of those whose rows a person has deleted. Which schema they have is not known.
_DELETED = select(granted_lease).where(_IS_DELETED)


class FoundMember(msgspec.Struct, frozen=True):
    """A node that may have a lease, as it was found."""

    node: str
    release: str
    schema: str
    incarnation: bytes
    renewed: int
    lease: float


class DeletedMember(msgspec.Struct, frozen=True):
    """A lease whose row in the table of members a person has deleted."""

    node: str
    incarnation: bytes
    lease: float


class EndedMembers(msgspec.Struct, frozen=True):
    """Nodes whose leases have ended: those that have a row, by their names, and those that have none."""

    members: Mapping[str, FoundMember]
    deleted: Sequence[DeletedMember]


class LivingMembersError(Exception):
    """Nodes serve the database; the message names them with their releases."""

    def __init__(self, members: Mapping[str, FoundMember]) -> None:
        super().__init__(", ".join(f"{each.node} (release {each.release})" for each in members.values()))


def ended_members(engine: Engine, pause: Callable[[float], object], *, older_than: str | None = None) -> EndedMembers:
    """Wait until the leases of all members have ended; return those that are left of them.

    ``older_than`` asks only for those of an earlier schema. ``pause`` waits for some seconds. It takes as long as the
    longest lease if a node was killed, or its row was deleted, and no time if all were stopped. Raises
    LivingMembersError as soon as a member renews its lease, or another one joins.
    """
    with engine.connect() as connection:
        first = _members(connection, older_than)
        rows = connection.execute(_DELETED).all()
        deleted = [DeletedMember(row.node, row.incarnation, lease_of_row(row.lease)) for row in rows]
    leases = [*(each.lease for each in first.values()), *(each.lease for each in deleted)]
    waited, longest = 0.0, max(map(over_everywhere, leases), default=0.0)
    while waited < longest:
        pause(_LOOK)
        waited += _LOOK
        with engine.connect() as connection:
            _require_same(first, _members(connection, older_than))
    return EndedMembers(first, deleted)


def remove_ended(connection: Connection, ended: EndedMembers, *, older_than: str | None = None) -> None:
    """Remove members whose leases have ended, in a transaction that keeps others from joining.

    Raises LivingMembersError if another one has joined meanwhile, or one of them has renewed.
    """
    found = _members(connection, older_than, locked=True)
    _require_same(ended.members, found)
    if found:
        connection.execute(delete(granted_lease).where(granted_lease.c.node.in_(list(found))))
        connection.execute(delete(member).where(member.c.node.in_(list(found))))
    if ended.deleted:
        # What was waited for would have to be waited for again.
        names = [(each.node, each.incarnation) for each in ended.deleted]
        of_them = tuple_(granted_lease.c.node, granted_lease.c.incarnation).in_(names)
        connection.execute(delete(granted_lease).where(of_them, _IS_DELETED))


def _members(connection: Connection, older_than: str | None, *, locked: bool = False) -> dict[str, FoundMember]:
    query = _MEMBERS if older_than is None else _MEMBERS.where(member.c.schema < older_than)
    if locked:
        # It waits for a renewal that is not committed yet.
        query = query.with_for_update(of=member)
    return {row.node: FoundMember(*row[:-1], lease_of_row(row[-1])) for row in connection.execute(query)}


def _require_same(before: Mapping[str, FoundMember], now: Mapping[str, FoundMember]) -> None:
    living = {node: each for node, each in now.items() if before.get(node) != each}
    if living:
        raise LivingMembersError(living)
