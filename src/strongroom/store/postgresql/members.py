"""The nodes that may serve a database, as a reader finds them."""

from sqlalchemy import Connection, select, true

from strongroom.node_id import NodeId
from strongroom.store.leases.bounds import lease_of_row, over_everywhere
from strongroom.store.postgresql.living_members import LEASE, WITH_LEASES
from strongroom.store.postgresql.schema import NOW, generation, member
from strongroom.store.records import MemberRecord

_MEMBERS = (
    select(
        member,
        LEASE.label("longest"),
        (NOW - member.c.joined_at).label("joined"),
        (NOW - member.c.renewed_at).label("age"),
        (generation.c.number - member.c.acked).label("behind"),
    )
    # The generation is one row.
    .select_from(WITH_LEASES.join(generation, true()))
    .order_by(member.c.node)
)


def read_members(connection: Connection) -> list[MemberRecord]:
    """Return the nodes that have a row, also those whose lease has ended since: others remove them when they commit."""
    return [
        MemberRecord(
            NodeId(row.node),
            row.workers,
            is_alive=float(row.age) < over_everywhere(lease_of_row(row.longest)),
            release=row.release,
            listen=row.listen,
            regions=tuple(row.regions.split(",")) if row.regions else (),
            lease=row.lease,
            joined=float(row.joined),
            renewed=float(row.age),
            # An acknowledgement may be of a commit that this snapshot does not have yet.
            behind=max(0, row.behind),
            acked=row.acked,
        )
        for row in connection.execute(_MEMBERS)
    ]
