"""The nodes that may serve a database, as a reader finds them."""

from sqlalchemy import Connection, func, select

from strongroom.node_id import NodeId
from strongroom.store.leases.bounds import over_everywhere
from strongroom.store.postgresql.schema import member
from strongroom.store.records import MemberRecord

_MEMBERS = select(
    member.c.node,
    member.c.lease,
    member.c.workers,
    # Of the same clock.
    (func.extract("epoch", func.clock_timestamp()) - member.c.renewed_at).label("age"),
).order_by(member.c.node)


def read_members(connection: Connection) -> list[MemberRecord]:
    """Return the nodes that have a row, also those whose lease has ended since: others remove them when they commit."""
    return [
        MemberRecord(NodeId(row.node), row.workers, float(row.age) < over_everywhere(row.lease))
        for row in connection.execute(_MEMBERS)
    ]
